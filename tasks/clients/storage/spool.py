"""Files on their way in, beside a tenant's images: parts are added to them, and what is complete is taken from here.

`.uploads/<number>` is the file of that upload, `.uploads/tmp-…` one that belongs to the request or run that made it.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from models.kernel.settings import settings
from tasks.clients.storage import folders
from tasks.clients.storage.growing import BUSY, BusyError, Growing, disk_errors, open_growing
from tasks.clients.storage.mounting import Mount

FOLDER = ".uploads"
TEMPORARY = "tmp-"


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
    def opened(self, upload_id: int) -> Iterator[Growing]:
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
    def _copied(self, linked: Growing, upload_id: int) -> Iterator[Growing]:
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
    def _alone(self, path: Path) -> Iterator[Growing]:
        """The file with its lock, made where it is not there; BusyError where another has that."""
        with disk_errors():
            try:
                growing = open_growing(path)
            except FileNotFoundError:
                self._make()
                growing = open_growing(path)
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


def spool_of(tenant_slug: str) -> Spool:
    """The tenant's; on the file system of its images, so that what is complete need not be copied."""
    mount = Mount(settings().media, settings().state_dir)
    return Spool(mount.media / tenant_slug / FOLDER, mount)
