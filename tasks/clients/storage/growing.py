"""One upload's file in the hands of the one that writes to it."""

import errno
import fcntl
import os
import stat as modes
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

from models.kernel.errors import ConfigError, RetryableError
from tasks.clients.storage.syncing import begin_sync_of_open

PIECE_BYTES = 1024 * 1024
BUSY = "another connection is sending this upload"


class BusyError(RetryableError):
    """Another connection is sending this upload."""


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full or failing disk is RetryableError, a folder that is not ours ConfigError."""
    try:
        yield
    except PermissionError:
        raise ConfigError("LABWIRE_MEDIA_ROOT cannot be written to") from None
    except OSError as error:
        raise RetryableError(f"the disk of LABWIRE_MEDIA_ROOT fails (errno {error.errno})") from None


class Growing:
    """An upload's file in the hands of its one writer. `size` is that of what it has so far, in bytes."""

    def __init__(self, path: Path, descriptor: int, *, is_writable: bool) -> None:
        self.path, self._descriptor, self._is_writable = path, descriptor, is_writable
        self._syncing: Future[None] | None = None
        self.size = 0
        self._is_ours = False
        self._is_lost = self._is_dirty = False

    def is_alone(self) -> bool:
        """Whether the lock is ours; False too where the file was taken in and is gone meanwhile.

        What is not writable is locked against writers only: NFS gives no other lock on what is opened to be read.
        """
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_EX if self._is_writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            return self.has_its_name()
        except OSError:
            return False

    def has_its_name(self) -> bool:
        """Whether it is what lies at its path."""
        found = self._look()
        try:
            return os.path.samestat(found, self.path.stat())
        except FileNotFoundError:
            return False

    def is_ours(self) -> bool:
        """Whether nothing else named the file when we got it, as an object of the storage does from its put on."""
        return self._is_ours

    def take_over(self, other: "Growing") -> None:
        """Become what the other is, durably, and take its name."""
        with disk_errors():
            os.ftruncate(self._descriptor, 0)
            self.size = 0
            while piece := os.pread(other._descriptor, PIECE_BYTES, self.size):
                self.write(piece, self.size)
            os.fsync(self._descriptor)
            self._is_dirty = False
            os.rename(self.path, other.path)
        self.path = other.path

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`, which lies at most at the end."""
        view = memoryview(data)
        with disk_errors():
            self._refuse_linked()
            self._refuse_lost()
            self._is_dirty = True
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written
                self.size = max(self.size, offset)

    def begin_sync(self) -> None:
        """Begin to make what was written durable: `sync` waits for that alone, where nothing is written any more."""
        self._syncing = begin_sync_of_open(self._descriptor)

    def sync(self) -> None:
        """Make what was written durable. Where the disk fails what was being written is to be sent again from 0 on."""
        syncing, self._syncing = self._syncing, None
        with disk_errors():
            self._refuse_lost()
            try:
                if syncing is None:
                    os.fsync(self._descriptor)
                else:
                    syncing.result()
            except OSError:
                self._lose()
                raise
            self._is_dirty = False

    def empty(self) -> None:
        """Begin again."""
        with disk_errors():
            self._refuse_linked()
            os.ftruncate(self._descriptor, 0)
        self.size = 0

    def close(self) -> None:
        """Give the lock back."""
        self._settle()
        os.close(self._descriptor)

    def _look(self) -> os.stat_result:
        found = os.fstat(self._descriptor)
        self.size = found.st_size
        self._is_ours = self._is_writable and found.st_nlink <= 1 and bool(found.st_mode & modes.S_IWUSR)
        return found

    def _refuse_linked(self) -> None:
        """It was put into storage since it was opened: whoever opens it next has a copy."""
        self._settle()
        self._look()
        if not self._is_ours:
            raise BusyError(BUSY, retry_after_seconds=1)

    def _settle(self) -> None:
        """What was begun to be made durable is over, well or not: nobody waits for it any more."""
        syncing, self._syncing = self._syncing, None
        if syncing is not None and syncing.exception() is not None:
            self._lose()

    def _lose(self) -> None:
        """A disk's failure is told once: the next fsync would say that all is well, of bytes that are nowhere.

        What was not written to lies there as it was: its sender may have been told that it is kept.
        """
        self._is_lost = True
        if self._is_dirty:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            self.size = 0

    def _refuse_lost(self) -> None:
        if self._is_lost:
            raise OSError(errno.EIO, "lost before")


def open_growing(path: Path) -> Growing:
    """The file, made where it is not there; to be read only where it may not be written to."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return Growing(path, os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o600), is_writable=True)
    except PermissionError as refused:
        try:
            return Growing(path, os.open(path, flags | os.O_RDONLY), is_writable=False)
        except FileNotFoundError:
            raise refused from None
