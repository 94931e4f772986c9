"""Files on their way in, beside a tenant's images: parts are added to them, and what is complete is taken from here.

`.uploads/<number>` is the file of that upload, `.uploads/tmp-…` one that belongs to the request or run that made it.
"""

import fcntl
import os
import stat as modes
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from models.kernel.errors import ConfigError, RetryableError
from models.kernel.settings import settings
from tasks.clients.storage import folders
from tasks.clients.storage.mounting import Mount
from tasks.clients.storage.syncing import begin_sync_of_open

FOLDER = ".uploads"
TEMPORARY = "tmp-"
PIECE_BYTES = 1024 * 1024
BUSY = "another connection is sending this upload"


class BusyError(RetryableError):
    """Another connection is sending this upload."""


class Spool:
    """One tenant's folder of files on their way; made when it is first needed."""

    def __init__(self, root: Path, mount: Mount | None = None) -> None:
        self._root, self._mount = root, mount

    def fresh(self) -> Path:
        """A name for a new file; nothing is made yet."""
        self._make()
        return self._root / f"{TEMPORARY}{uuid4().hex}"

    def of_upload(self, upload_id: int) -> Path:
        """The file of this upload, there or not."""
        return self._root / str(int(upload_id))

    def size_of(self, upload_id: int) -> int:
        """Bytes of the upload that are here; 0 where there are none."""
        try:
            return self.of_upload(upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def opened(self, upload_id: int) -> Iterator["Growing"]:
        """The upload's file to write to: by one writer at a time, among all processes. BusyError for the second.

        One that a failed transaction had put into storage is copied first: what lies there may be an image by now.
        """
        with ExitStack() as held:
            growing = held.enter_context(self._alone(self.of_upload(upload_id)))
            if not growing.is_ours():
                growing = held.enter_context(self._copied(growing, upload_id))
            yield growing

    def keep_as(self, path: Path, upload_id: int) -> None:
        """Make a temporary file the one of this upload, durably."""
        with disk_errors():
            path.replace(self.of_upload(upload_id))
        self.sync()

    def discard(self, upload_id: int) -> None:
        """Remove the upload's file."""
        self.of_upload(upload_id).unlink(missing_ok=True)

    def numbered(self) -> dict[int, Path]:
        """Every upload's file by its number."""
        if not self._root.is_dir():
            return {}
        return {int(path.name): path for path in self._root.iterdir() if path.name.isdecimal()}

    def sweep(self, older_than_seconds: float) -> int:
        """Remove temporary files of processes that are gone; how many. Age is that of the last change."""
        if not self._root.is_dir():
            return 0
        oldest, removed = time.time() - older_than_seconds, 0
        for path in self._root.glob(f"{TEMPORARY}*"):
            if path.lstat().st_ctime < oldest:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def sync(self) -> None:
        """Make the folder's names durable."""
        with disk_errors():
            folders.sync_folder(self._root)

    @contextmanager
    def _copied(self, linked: "Growing", upload_id: int) -> Iterator["Growing"]:
        """A copy that takes the file's name, locked before it has it. After a kill one of the two is there, whole."""
        with self._alone(self._root / f"{TEMPORARY}copy-{int(upload_id)}") as copy:
            # The lock on what cannot be written to is shared: another may have put a copy there before ours was locked.
            if not linked.has_its_name():
                copy.path.unlink(missing_ok=True)
                raise BusyError(BUSY, retry_after_seconds=1)
            try:
                copy.take_over(linked)
            except BaseException:
                copy.path.unlink(missing_ok=True)
                raise
            self.sync()
            yield copy

    @contextmanager
    def _alone(self, path: Path) -> Iterator["Growing"]:
        """The file with its lock, made where it is not there; BusyError where another has that."""
        with disk_errors():
            try:
                growing = _opened(path)
            except FileNotFoundError:
                self._make()
                growing = _opened(path)
        try:
            if not growing.is_alone():
                raise BusyError(BUSY, retry_after_seconds=1)
            yield growing
        finally:
            growing.close()

    def _make(self) -> None:
        if self._root.is_dir():
            return
        if self._mount is not None:
            self._mount.begin()
        with disk_errors():
            folders.make_root(self._root)


class Growing:
    """An upload's file in the hands of its one writer. `size` is that of what it has so far, in bytes."""

    def __init__(self, path: Path, descriptor: int, *, is_writable: bool) -> None:
        self.path, self._descriptor, self._is_writable = path, descriptor, is_writable
        self._syncing: Future[None] | None = None
        self.size = 0
        self._is_ours = False

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
            os.rename(self.path, other.path)
        self.path = other.path

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`, which lies at most at the end."""
        self._refuse_linked()
        view = memoryview(data)
        with disk_errors():
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written
                self.size = max(self.size, offset)

    def begin_sync(self) -> None:
        """Begin to make what was written durable: `sync` waits for that alone, where nothing is written any more."""
        self._syncing = begin_sync_of_open(self._descriptor)

    def sync(self) -> None:
        """Make what was written durable."""
        syncing, self._syncing = self._syncing, None
        with disk_errors():
            if syncing is None:
                os.fsync(self._descriptor)
            else:
                syncing.result()

    def empty(self) -> None:
        """Begin again."""
        self._refuse_linked()
        with disk_errors():
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
        if syncing is not None:
            syncing.exception()


def _opened(path: Path) -> Growing:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return Growing(path, os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o600), is_writable=True)
    except PermissionError as refused:
        try:
            return Growing(path, os.open(path, flags | os.O_RDONLY), is_writable=False)
        except FileNotFoundError:
            raise refused from None


def spool_of(tenant_slug: str) -> Spool:
    """The tenant's; on the file system of its images, so that what is complete need not be copied."""
    mount = Mount(settings().media, settings().state_dir)
    return Spool(mount.media / tenant_slug / FOLDER, mount)


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full or failing disk is RetryableError, a folder that is not ours ConfigError."""
    try:
        yield
    except PermissionError:
        raise ConfigError("LABWIRE_MEDIA_ROOT cannot be written to") from None
    except OSError as error:
        raise RetryableError(f"the disk of LABWIRE_MEDIA_ROOT fails (errno {error.errno})") from None
