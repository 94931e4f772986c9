"""The inbox: which files may be taken, and what is in them."""

import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.kernel.errors import ConfigError
from tasks.clients.claims import ClaimedFile, is_settled

SETTLED_SECONDS = 2.0
MOST_BYTES = 64 * 2**20
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
    """The files to be taken, in the order of their names; those that are still being written are left alone."""
    with os.scandir(place.folder) as entries:
        ready = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(UNFINISHED) or entry.is_dir(follow_symlinks=False):
                continue
            try:
                changed = entry.stat(follow_symlinks=False).st_ctime
            except FileNotFoundError:
                continue  # another run took it
            if is_settled(entry.path, changed, SETTLED_SECONDS):
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
