"""Folders opened part by part below a root, no symbolic link followed, and what the system's errors mean.

Each part is opened from the folder before it: a link that is put in the way meanwhile leads nowhere either.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.kernel.errors import ConfigError, RetryableError

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not blocking: a pipe under a file's name does not stop us."""
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What opening says of a name that is not there, or is a link."""
_FOR_A_PERSON = {
    errno.EACCES: "no right to do this",
    errno.EPERM: "not permitted",
    errno.EROFS: "it is read-only",
    errno.EFBIG: "the file is larger than is allowed",
    errno.ENOTDIR: "something that is no folder lies in the way",
    errno.ELOOP: "something that is no folder lies in the way",
    errno.EMLINK: "too many links",
}


@contextmanager
def translated() -> Iterator[None]:
    """OSError as one of ours, without the path: ConfigError for what a person must change, else RetryableError."""
    try:
        yield
    except OSError as failed:
        why = _FOR_A_PERSON.get(failed.errno or 0)
        if why is not None:
            raise ConfigError(f"image storage: {why} (LABWIRE_MEDIA_ROOT)") from None
        name = errno.errorcode.get(failed.errno or 0, type(failed).__name__)
        raise RetryableError(f"image storage: the file system answered {name}") from None


@contextmanager
def opened(root: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """The folder at `parts` below the root, as a descriptor; OSError with one of `ABSENT` where it is not there."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # the root itself may be a link
    try:
        for part in parts:
            inner = os.open(part, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def open_or_make(name: str, parent: int) -> int:
    """The folder `name` in `parent`, made (0700) where it is not there; OSError where something else is."""
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except FileNotFoundError:
        pass
    with suppress(FileExistsError):  # another thread or process made it meanwhile
        os.mkdir(name, 0o700, dir_fd=parent)
    return os.open(name, FOLDER, dir_fd=parent)


def make_root(root: Path) -> None:
    """Make the root and what is missing above it (0700), durably."""
    missing = []
    while not root.is_dir():
        missing.append(root)
        root = root.parent
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(0o700)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """What the folder names is on the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
