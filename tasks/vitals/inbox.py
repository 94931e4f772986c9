"""The inbox: which files may be taken, and how a run makes them its own.

A run takes a file by renaming it into a folder of its own, `.claimed/<run>/<place>/`, which it holds by a lock that
ends with its process. What a killed run had taken is thereby the next run's.
"""

import fcntl
import os
import pwd
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from models.kernel.errors import ConfigError

SETTLED_SECONDS = 2.0
MOST_BYTES = 64 * 2**20
CLAIMED = ".claimed"
ROOT = "@root"
"""The place of files in the inbox's root; no tenant's slug begins so."""
UNFINISHED = (".part", ".tmp", ".reason.txt")


class RefusedFileError(Exception):
    """A file that is not taken, by the name of the rule; never retried by itself."""

    def __init__(self, rule: str, lines: Sequence[str] = ()) -> None:
        super().__init__(rule)
        self.rule, self.lines = rule, tuple(lines)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that files are dropped into: a tenant's, or the root (an empty name)."""

    folder: Path
    slug: str = ""


@dataclass(frozen=True, slots=True)
class ClaimedFile:
    """A file that this run alone has."""

    path: Path
    slug: str


class Claims:
    """What one run has taken. Entering takes over the folders of runs that are gone; leaving removes empty ones."""

    def __init__(self, inbox: Path) -> None:
        self._root = inbox / CLAIMED
        self._locks: dict[Path, int] = {}
        self.adopted: list[ClaimedFile] = []

    def __enter__(self) -> Self:
        self._root.mkdir(mode=0o700, exist_ok=True)
        with _locked(self._root / ".lock"):
            for folder in sorted(self._root.iterdir()):
                if folder.is_dir() and not folder.is_symlink() and self._hold(folder):
                    self.adopted += _files_in(folder)
            self._own = self._root / uuid4().hex
            self._own.mkdir(mode=0o700)
            self._hold(self._own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _locked(self._root / ".lock"):
            for folder, lock in self._locks.items():
                if not _files_in(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)

    def take(self, path: Path, slug: str) -> ClaimedFile | None:
        """The file as this run's own; None when another was quicker, or it cannot be moved."""
        folder = self._own / (slug or ROOT)
        folder.mkdir(mode=0o700, exist_ok=True)
        target = folder / path.name
        if target.is_symlink() or target.exists():
            return None  # one of the same name was taken already by this run: with the next
        try:
            path.rename(target)
        except OSError:
            return None
        return ClaimedFile(target, slug)

    def _hold(self, folder: Path) -> bool:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._locks[folder] = lock
        return True


def places(inbox: Path, slugs: Sequence[str]) -> tuple[list[Place], int]:
    """The folders of these tenants that are there, and how many others hold files: they belong to no tenant.

    ConfigError when the inbox itself is a link or cannot be read.
    """
    if inbox.is_symlink():
        raise ConfigError("LABWIRE_IOT_INBOX_DIR must not be a symbolic link")
    found, strange = [], 0
    try:
        with os.scandir(inbox) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                    continue
                if entry.name in slugs:
                    found.append(Place(Path(entry.path), entry.name))
                else:
                    strange += any(os.scandir(entry.path))
    except OSError:
        raise ConfigError("LABWIRE_IOT_INBOX_DIR cannot be read") from None
    return found, strange


def waiting(place: Place) -> Iterator[Path]:
    """The files to be taken, in the order of their names; those that are still being written are left alone.

    What tells is the time of the inode's last change: nobody can set it, and every write and rename renews it.
    """
    now = time.time()
    with os.scandir(place.folder) as entries:
        ready = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(UNFINISHED) or entry.is_dir(follow_symlinks=False):
                continue
            try:
                changed = entry.stat(follow_symlinks=False).st_ctime
            except FileNotFoundError:
                continue  # another run took it
            if not now - SETTLED_SECONDS < changed <= now and not _has_writer(entry.path):
                ready.append(entry.path)
    yield from map(Path, sorted(ready))


def read(file: ClaimedFile, owners: frozenset[int]) -> bytes:
    """The whole content; RefusedFileError for what may not be taken. Links are not followed."""
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        is_link = file.path.is_symlink()
        raise RefusedFileError("symbolic_link" if is_link else "not_readable") from None
    with os.fdopen(descriptor, "rb") as opened:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise RefusedFileError("not_a_regular_file")
        if facts.st_uid not in owners:
            raise RefusedFileError("owner_not_allowed")
        if facts.st_mode & stat.S_IWOTH:
            raise RefusedFileError("writable_by_everybody")
        if facts.st_size > MOST_BYTES:
            raise RefusedFileError("larger_than_64_MB")
        return opened.read(MOST_BYTES + 1)


def owners_of(place: Path, named: str) -> frozenset[int]:
    """Whose files are taken from this folder: ours, the folder's owner's, and those of the users named in the settings.

    A device's gateway uploads under a user of its own; whoever owns the folder decides who may put files there.
    """
    allowed = {os.geteuid()}
    facts = place.lstat()
    if not facts.st_mode & stat.S_IWOTH:
        allowed.add(facts.st_uid)
    for name in (one.strip() for one in named.split(",")):
        if name:
            try:
                allowed.add(pwd.getpwnam(name).pw_uid)
            except KeyError:
                raise ConfigError("LABWIRE_IOT_FILE_OWNERS names a user this machine does not have") from None
    return frozenset(allowed)


def _has_writer(path: str) -> bool:
    """Whether some process has it open for writing: a read lease is refused then (Linux; else nobody is known to)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # refused later, by its rule
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no file of ours, or a file system without leases
    finally:
        os.close(descriptor)
    return False


def _files_in(claim: Path) -> list[ClaimedFile]:
    return [
        ClaimedFile(path, "" if path.parent.name == ROOT else path.parent.name)
        for path in sorted(claim.glob("*/*"))
        if path.is_symlink() or not path.is_dir()
    ]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among the runs while folders come and go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
