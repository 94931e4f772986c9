"""One part of an upload's binary: added to what is here; with the last byte the file is taken in."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
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
from models.imaging.intake import Stored
from models.imaging.offers import Offer, offer_of
from models.imaging.rules import NotLetInError
from models.imaging.stores import uploads
from models.imaging.stores.looking import SeenUpload, see_upload
from models.kernel.errors import ConflictError, InvalidError, LabwireError, NotFoundError, UnreadableError
from models.kernel.pipeline import Pipeline
from models.kernel.tenancy import group_pipeline, tenant_session
from tasks.clients.storage.growing import Growing

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
    """One request with a part: a small one is one call of a thread and one transaction, of a large one each MB is."""

    def __init__(self, caller: Caller | None, upload_id: int) -> None:
        self._upload_id = upload_id
        if caller is not None:
            self._be(caller)
        self._held = ExitStack()
        self._file: Growing | None = None
        self._upload: SeenUpload
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
            return await in_thread(self._finish_small if self._file is None else self._finish)
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

    @contextmanager
    def _work(self) -> Iterator[Pipeline]:
        """A transaction of the caller's tenant."""
        with tenant_work(self._caller) as session:
            pipeline = Pipeline(session)
            yield pipeline
            pipeline.finish()

    def retry(self) -> UploadAnswer:
        """Take in again what is held; called in a thread. What was stored meanwhile is told so."""
        try:
            with self._held:
                with self._work() as pipeline:
                    file = self._opened(pipeline, "held")
                return self._take(file)
        except _EndedError as ended:
            return ended.answer

    def _write(self) -> Growing:
        """What came so far goes to the file; InvalidError for more than was declared."""
        if self._is_refused:
            raise UnreadableError("the request was refused", field="body")
        if self._file is None:
            self._is_refused = True
            with self._work() as pipeline:
                self._opened(pipeline, "declared")
            self._is_refused = False
        return self._add()

    def _finish(self) -> UploadAnswer:
        with self._held:
            file = self._write()
            if file.size >= self._upload.file_size:
                file.begin_sync()
                return self._take(file)
            file.sync()
            with tenant_session(self._caller.tenant_id) as session:
                return self._noted(session, file)

    def _finish_small(self) -> UploadAnswer:
        """The same where nothing was written yet: whose it is, its bytes and its rows in one transaction."""
        with self._held:
            try:
                with self._work() as pipeline:
                    self._opened(pipeline, "declared")
                    file = self._add()
                    if file.size < self._upload.file_size:
                        file.sync()
                        return self._noted(pipeline.session, file)
                    file.begin_sync()
                    stored, committed = self._entrance.intake.take_within(pipeline, self._offer(file))
            except NotLetInError as error:
                return self._kept_out(file, error)
            committed()
            return self._told(stored)

    def _keep(self) -> None:
        with self._held:
            try:
                file = self._write()
                file.sync()
                with tenant_session(self._caller.tenant_id) as session:
                    self._noted(session, file)
            except (LabwireError, _EndedError):
                return  # what broke the request has been told

    def _opened(self, pipeline: Pipeline, state: str) -> Growing:
        """Make the file this request's alone, then see what the upload is; one that has ended needs no file."""
        self._file = file = self._held.enter_context(self._entrance.spool.opened(self._upload_id))
        try:
            self._upload = see_upload(pipeline, self._caller.tenant_id, self._upload_id)
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

    def _add(self) -> Growing:
        file = self._file
        if file is None:
            raise AssertionError("opened before")
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

    def _noted(self, session: Session, file: Growing) -> UploadAnswer:
        received = file.size
        uploads.note_progress(session, self._caller.tenant_id, self._upload_id, received)
        return UploadAnswer.of(self._upload).model_copy(update={"received_bytes": received})

    def _offer(self, file: Growing) -> Offer:
        return replace(offer_of(self._upload, file.path), digest=self._digest, settle=file.sync)

    def _take(self, file: Growing) -> UploadAnswer:
        try:
            return self._told(self._entrance.intake.take(self._offer(file)))
        except NotLetInError as error:
            return self._kept_out(file, error)

    def _told(self, stored: Stored) -> UploadAnswer:
        told = {
            "state": "stored",
            "image_id": stored.taken.image_id,
            "received_bytes": self._upload.file_size,
        }
        return UploadAnswer.of(self._upload).model_copy(update=told)

    def _kept_out(self, file: Growing, error: NotLetInError) -> UploadAnswer:
        """Held with the rule; InvalidError where the way did the damage: the sender begins again."""
        file.sync()
        self._entrance.spool.sync()  # what is held is acknowledged: its sender keeps nothing of it
        with tenant_session(self._caller.tenant_id) as session:
            if error.rule not in AGAIN:
                held = uploads.hold(session, self._caller.tenant_id, self._caller.actor, self._upload.id, error.rule)
                return UploadAnswer.of(held)
            file.empty()
            self._noted(session, file)
        raise InvalidError("the file's SHA-256 or size is not the declared one", field="checksum")


class _NotAllowedError(Exception):
    """The bearer is known, and may not send images."""


class ResumingByToken(Resuming):
    """The same for a program: who it is is asked in the transaction of its upload."""

    def __init__(self, request: Request, upload_id: int, token: str) -> None:
        super().__init__(None, upload_id)
        self._request, self._token = request, token

    @property
    def caller(self) -> Caller:
        """Known once something was received."""
        return self._caller

    @contextmanager
    def _work(self) -> Iterator[Pipeline]:
        try:
            with group_pipeline() as pipeline:
                caller = known_by_token(self._request, pipeline, self._token)
                self._be(caller)
                if not is_allowed(caller, (TECHNICIAN,), WRITE):
                    raise _NotAllowedError
                yield pipeline
        except NotFoundError:
            note_foreign(self._caller, "image_upload", self._upload_id)
            raise
        except _NotAllowedError:
            note_refusal(self._request, caller)
            raise refusal(caller, (TECHNICIAN,), WRITE) from None
