"""What is dropped into an inbox: whether it is complete, and how a run makes it its own.

A run takes a file by renaming it into a folder of its own, `.claimed/<run>/<place>/`, which it holds by a lock that
ends with its process. What a killed run had taken is thereby the next run's.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

CLAIMED = ".claimed"
ROOT = "@root"
"""The place of files in the inbox's root; no tenant's slug begins so."""


@dataclass(frozen=True, slots=True)
class ClaimedFile:
    """A file, or a folder where folders are taken, that this run alone has."""

    path: Path
    slug: str


class Claims:
    """What one run has taken. Entering takes over the folders of runs that are gone; leaving removes empty ones.

    `with_folders`: also folders are taken, whole.
    """

    def __init__(self, inbox: Path, *, with_folders: bool = False) -> None:
        self._root, self._with_folders = inbox / CLAIMED, with_folders
        self._locks: dict[Path, int] = {}
        self.adopted: list[ClaimedFile] = []

    def __enter__(self) -> Self:
        self._root.mkdir(mode=0o700, exist_ok=True)
        with _locked(self._root / ".lock"):
            for folder in sorted(self._root.iterdir()):
                if folder.is_dir() and not folder.is_symlink() and self._hold(folder):
                    self.adopted += self._files_in(folder)
            self._own = self._root / uuid4().hex
            self._own.mkdir(mode=0o700)
            self._hold(self._own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _locked(self._root / ".lock"):
            for folder, lock in self._locks.items():
                if not self._files_in(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)

    def take(self, path: Path, slug: str, *, name: str = "") -> ClaimedFile | None:
        """The file as this run's own, under `name` where one is given.

        None when another was quicker, or it cannot be moved.
        """
        folder = self._own / (slug or ROOT)
        folder.mkdir(mode=0o700, exist_ok=True)
        target = folder / (name or path.name)
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

    def _files_in(self, claim: Path) -> list[ClaimedFile]:
        return [
            ClaimedFile(path, "" if path.parent.name == ROOT else path.parent.name)
            for path in sorted(claim.glob("*/*"))
            if self._with_folders or path.is_symlink() or not path.is_dir()
        ]


def is_settled(path: str, changed_at: float, seconds: float) -> bool:
    """Whether nothing was written to it for so long, and nobody has it open to write.

    What tells is the time of the inode's last change: nobody can set it, and every write and rename renews it.
    """
    now = time.time()
    return not now - seconds < changed_at <= now and not has_writer(path)


def has_writer(path: str) -> bool:
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


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among the runs while folders come and go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
