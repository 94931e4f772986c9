"""One part of an upload's binary: added to what is here; with the last byte the file is taken in."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace

from fastapi import Request
from sqlalchemy.orm import Session

from api.deps import (
    Caller,
    is_allowed,
    known_by_token,
    note_foreign,
    note_refusal,
    refusal,
    tenant_work,
)
from api.imaging.access import TECHNICIAN
from api.imaging.answers import UploadAnswer
from api.imaging.receiving import IN_MEMORY, Entrance, in_thread
from models.imaging.offers import offer_of
from models.imaging.rules import NotLetInError
from models.imaging.stores import uploads
from models.imaging.tables import ImageUpload
from models.kernel.errors import ConflictError, InvalidError, LabwireError, NotFoundError, UnreadableError
from models.kernel.pipeline import Pipeline
from models.kernel.tenancy import group_session, tenant_session
from tasks.clients.storage.spool import Growing

AGAIN = ("checksum", "size")
"""What the way damaged: the sender begins again."""
WRITE = "imaging:write"
OVER = ("stored", "expired", "discarded")


class OffsetError(ConflictError):
    """The part does not begin where the bytes so far end; `received_bytes` is where."""

    def __init__(self, received_bytes: int) -> None:
        super().__init__(f"so far {received_bytes} bytes are here: go on from there", field="Upload-Offset")
        self.headers = {"Upload-Offset": str(received_bytes)}


class _EndedError(Exception):
    """The upload was stored before: its answer is said again."""

    def __init__(self, answer: UploadAnswer) -> None:
        super().__init__()
        self.answer = answer


class Resuming:
    """One request with a part: a small one is one call of a thread, of a large one each MB is."""

    def __init__(self, caller: Caller | None, upload_id: int) -> None:
        self._upload_id = upload_id
        if caller is not None:
            self._be(caller)
        self._held = ExitStack()
        self._file: Growing | None = None
        self._upload: ImageUpload
        self._is_refused = False
        self._digest: str | None = None
        self._offset = 0
        self._waiting: list[bytes] = []
        self._bytes_waiting = 0

    async def receive(self, stream: AsyncIterator[bytes], offset: int) -> UploadAnswer:
        """Add the part to what is here; with the last byte the image is stored, or held with the rule.

        ConflictError for a gap, and where the upload is held or was given up. When the line breaks, what came is kept.
        """
        self._offset = offset
        try:
            await self._add_all(stream)
            return await in_thread(self._finish)
        except _EndedError as ended:
            return ended.answer

    async def _add_all(self, stream: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in stream:
                self._waiting.append(chunk)
                self._bytes_waiting += len(chunk)
                if self._bytes_waiting >= IN_MEMORY:
                    await in_thread(self._write)
        except BaseException:
            await asyncio.shield(in_thread(self._keep))
            raise

    def _be(self, caller: Caller) -> None:
        self._caller, self._entrance = caller, Entrance(caller, "sync")

    def retry(self) -> UploadAnswer:
        """Take in again what is held; called in a thread. What was stored meanwhile is told so."""
        try:
            with self._held:
                return self._take(self._open("held"))
        except _EndedError as ended:
            return ended.answer

    def _write(self) -> Growing:
        """What came so far goes to the file; InvalidError for more than was declared."""
        if self._is_refused:
            raise UnreadableError("the request was refused", field="body")
        self._is_refused = self._file is None
        file = self._file or self._open("declared")
        self._is_refused = False
        waiting, self._waiting, self._bytes_waiting = self._waiting, [], 0
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        if self._offset > file.size:
            raise OffsetError(file.size)
        if self._offset + len(data) > self._upload.file_size:
            raise InvalidError("more bytes than were declared", field="file_size")
        file.write(data, self._offset)
        if len(data) == self._upload.file_size:  # the whole file at once: it need not be read again
            self._digest = hashlib.sha256(data).hexdigest()
        self._offset += len(data)
        return file

    def _finish(self) -> UploadAnswer:
        with self._held:
            file = self._write()
            file.sync()
            return self._take(file) if file.size >= self._upload.file_size else self._noted(file)

    def _keep(self) -> None:
        with self._held:
            try:
                file = self._write()
                file.sync()
                self._noted(file)
            except (LabwireError, _EndedError):
                return  # what broke the request has been told

    def _open(self, state: str) -> Growing:
        """Make the file this request's alone, then see what the upload is; one that has ended needs no file."""
        with tenant_work(self._caller) as session:
            return self._opened(session, state)

    def _opened(self, session: Session, state: str) -> Growing:
        self._file = file = self._held.enter_context(self._entrance.spool.opened(self._upload_id))
        try:
            self._upload = uploads.read_upload(Pipeline(session), self._caller.tenant_id, self._upload_id)
        except NotFoundError:
            file.path.unlink(missing_ok=True)
            raise
        if self._upload.state in OVER:
            file.path.unlink(missing_ok=True)
        if self._upload.state == "stored":
            raise _EndedError(UploadAnswer.of(self._upload))
        if self._upload.state != state:
            raise ConflictError(f"upload {self._upload_id} is {self._upload.state}")
        return file

    def _noted(self, file: Growing) -> UploadAnswer:
        received = file.size
        with tenant_session(self._caller.tenant_id) as session:
            uploads.note_progress(session, self._caller.tenant_id, self._upload_id, received)
        return UploadAnswer.of(self._upload).model_copy(update={"received_bytes": received})

    def _take(self, file: Growing) -> UploadAnswer:
        upload = self._upload
        try:
            stored = self._entrance.intake.take(replace(offer_of(upload, file.path), digest=self._digest))
        except NotLetInError as error:
            if error.rule in AGAIN:
                file.empty()
                self._noted(file)
                raise InvalidError("the file's SHA-256 or size is not the declared one", field="checksum") from None
            with tenant_session(self._caller.tenant_id) as session:
                held = uploads.hold(session, self._caller.tenant_id, self._caller.actor, upload.id, error.rule)
                return UploadAnswer.of(held)
        told = {"state": "stored", "image_id": stored.taken.image_id, "received_bytes": upload.file_size}
        return UploadAnswer.of(upload).model_copy(update=told)


class ResumingByToken(Resuming):
    """The same for a program: who it is and what the upload is are asked in one transaction."""

    def __init__(self, request: Request, upload_id: int, token: str) -> None:
        super().__init__(None, upload_id)
        self._request, self._token = request, token

    @property
    def caller(self) -> Caller:
        """Known once something was received."""
        return self._caller

    def _open(self, state: str) -> Growing:
        try:
            with group_session() as session:
                caller = known_by_token(self._request, session, self._token)
                self._be(caller)
                if is_allowed(caller, (TECHNICIAN,), WRITE):
                    return self._opened(session, state)
        except NotFoundError:
            note_foreign(self._caller, "image_upload", self._upload_id)
            raise
        note_refusal(self._request, caller)
        raise refusal(caller, (TECHNICIAN,), WRITE)
