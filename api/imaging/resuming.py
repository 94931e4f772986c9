"""One part of an upload's binary: added to what is here; with the last byte the file is taken in."""

from collections.abc import Callable
from contextlib import ExitStack

from api.deps import Caller, tenant_work
from api.imaging.answers import UploadAnswer
from api.imaging.receiving import IN_MEMORY, Entrance, in_thread
from models.imaging.offers import offer_of
from models.imaging.rules import NotLetInError
from models.imaging.stores import uploads
from models.imaging.tables import ImageUpload
from models.kernel.errors import ConflictError, InvalidError
from models.kernel.tenancy import tenant_session
from tasks.clients.storage.spool import Growing

AGAIN = ("checksum", "size")
"""What the way damaged: the sender begins again."""


class OffsetError(ConflictError):
    """The part does not begin where the bytes so far end; `received_bytes` is where."""

    def __init__(self, received_bytes: int) -> None:
        super().__init__(f"so far {received_bytes} bytes are here: go on from there", field="Upload-Offset")
        self.headers = {"Upload-Offset": str(received_bytes)}


class Resuming:
    """One request with a part; its methods but `add` are called in threads, one after the other."""

    def __init__(self, caller: Caller, upload_id: int) -> None:
        self._caller, self._upload_id = caller, upload_id
        self._entrance = Entrance(caller, "sync")
        self._held = ExitStack()
        self._opened: Growing | None = None
        self._waiting: list[bytes] = []
        self._bytes_waiting = 0

    def begin(self, offset: int) -> UploadAnswer | None:
        """Make the upload this request's alone; its answer where it has ended. ConflictError where it is held."""
        self._upload = self._read()
        if self._upload.state != "declared":
            return self._ended()
        self._file = self._opened = self._held.enter_context(self._entrance.spool.opened(self._upload_id))
        try:
            self._upload = self._read()  # it may have ended before the file was ours
            if self._upload.state != "declared":
                self._file.path.unlink(missing_ok=True)
                return self._close(self._ended)
            if offset > self._file.size:
                raise OffsetError(self._file.size)
            self._offset = offset
        except BaseException:
            self._held.close()
            raise
        return None

    async def add(self, chunk: bytes) -> None:
        """The next bytes; InvalidError for more than were declared."""
        if self._offset + self._bytes_waiting + len(chunk) > self._upload.file_size:
            raise InvalidError("more bytes than were declared", field="file_size")
        self._waiting.append(chunk)
        self._bytes_waiting += len(chunk)
        if self._bytes_waiting >= IN_MEMORY:
            await in_thread(self._write)

    def finish(self) -> UploadAnswer:
        """What is here now; the stored image where that is all of it."""
        self._write()
        self._file.sync()
        if self._file.size < self._upload.file_size:
            return self._close(self._noted)
        return self._close(self._take)

    def keep(self) -> None:
        """The line broke: what came is kept."""
        if self._opened is not None and self._opened.is_open:
            self._write()
            self._close(self._noted)

    def retry(self) -> UploadAnswer:
        """Take in again what is held."""
        self._upload = self._read()
        if self._upload.state != "held":
            raise ConflictError(f"upload {self._upload_id} is not held")
        self._file = self._held.enter_context(self._entrance.spool.opened(self._upload_id))
        return self._close(self._take)

    def _read(self) -> ImageUpload:
        with tenant_work(self._caller) as session:
            return uploads.get_upload(session, self._caller.tenant_id, self._upload_id)

    def _ended(self) -> UploadAnswer:
        if self._upload.state == "stored":
            return UploadAnswer.of(self._upload)
        raise ConflictError(f"upload {self._upload_id} is {self._upload.state}")

    def _write(self) -> None:
        waiting, self._waiting, self._bytes_waiting = self._waiting, [], 0
        if waiting:
            data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
            self._file.write(data, self._offset)
            self._offset += len(data)

    def _noted(self) -> UploadAnswer:
        with tenant_session(self._caller.tenant_id) as session:
            uploads.note_progress(session, self._caller.tenant_id, self._upload_id, self._file.size)
        answer = UploadAnswer.of(self._upload)
        answer.received_bytes = self._file.size
        return answer

    def _take(self) -> UploadAnswer:
        upload = self._upload
        try:
            self._entrance.intake.take(offer_of(upload, self._file.path))
        except NotLetInError as error:
            if error.rule in AGAIN:
                self._file.empty()
                self._noted()
                raise InvalidError("the file's SHA-256 or size is not the declared one", field="checksum") from None
            with tenant_session(self._caller.tenant_id) as session:
                uploads.hold(session, self._caller.tenant_id, self._caller.actor, upload.id, error.rule)
        return UploadAnswer.of(self._read())

    def _close(self, last: Callable[[], UploadAnswer]) -> UploadAnswer:
        with self._held:
            return last()
