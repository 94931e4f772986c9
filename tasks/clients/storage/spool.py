"""Files on their way in, beside a tenant's images: parts are added to them, and what is complete is taken from here.

`.uploads/<number>` is the file of that upload, `.uploads/tmp-…` one that belongs to the request or run that made it.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from models.kernel.errors import ConfigError, RetryableError
from models.kernel.settings import settings
from tasks.clients.storage.syncing import begin_sync

FOLDER = ".uploads"
TEMPORARY = "tmp-"


class BusyError(RetryableError):
    """Another connection is sending this upload."""


class Spool:
    """One tenant's folder of files on their way; made when it is first needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

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
        """The upload's file to write to: by one writer at a time, among all processes. BusyError for the second."""
        self._make()
        path = self.of_upload(upload_id)
        with disk_errors():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        growing = Growing(path, descriptor)
        try:
            if not growing.is_alone():
                raise BusyError("another connection is sending this upload", retry_after_seconds=1)
            yield growing
        finally:
            growing.is_open = False
            os.close(descriptor)

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
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _make(self) -> None:
        with disk_errors():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)


class Growing:
    """An upload's file in the hands of its one writer."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor, self.is_open = path, descriptor, True
        self._syncing: Future[None] | None = None

    def is_alone(self) -> bool:
        """Whether the lock is ours; False too where the file was taken in and is gone meanwhile."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(self._descriptor).st_ino == self.path.stat().st_ino
        except OSError:
            return False

    @property
    def size(self) -> int:
        """Bytes so far."""
        return os.fstat(self._descriptor).st_size

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`, which lies at most at the end."""
        view, self._syncing = memoryview(data), None
        with disk_errors():
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written

    def begin_sync(self) -> None:
        """Begin to make what was written durable: `sync` waits for that alone, where nothing is written any more."""
        self._syncing = begin_sync(self._descriptor)

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
        with disk_errors():
            os.ftruncate(self._descriptor, 0)


def spool_of(tenant_slug: str) -> Spool:
    """The tenant's; on the file system of its images, so that what is complete need not be copied."""
    return Spool(settings().media / tenant_slug / FOLDER)


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full or failing disk is RetryableError, a folder that is not ours ConfigError."""
    try:
        yield
    except PermissionError:
        raise ConfigError("LABWIRE_MEDIA_ROOT cannot be written to") from None
    except OSError as error:
        raise RetryableError(f"the disk of LABWIRE_MEDIA_ROOT fails (errno {error.errno})") from None
