"""One part of an upload's binary: added to what is here; with the last byte the file is taken in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

from fastapi import Request

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
from api.imaging.arriving import Arriving, EndedError
from api.imaging.receiving import Entrance, in_thread
from models.imaging.rules import NotLetInError
from models.imaging.stores.looking import see_uploads
from models.kernel.errors import LabwireError, NotFoundError, UnreadableError
from models.kernel.pipeline import Pipeline
from models.kernel.tenancy import group_pipeline, tenant_session
from tasks.clients.storage.growing import Growing

WRITE = "imaging:write"


class Resuming:
    """One request with a part: a small one is one call of a thread and one transaction, of a large one each MB is."""

    def __init__(self, caller: Caller | None, arriving: Arriving) -> None:
        self.arriving = arriving
        if caller is not None:
            self._be(caller)
        self._held = ExitStack()
        self._is_refused = False

    async def receive(self, stream: AsyncIterator[bytes]) -> UploadAnswer:
        """Add the part to what is here; with the last byte the image is stored, or held with the rule.

        ConflictError for a gap, and where the upload is held or was given up. When the line breaks, what came is kept.
        """
        try:
            async for chunk in stream:
                await self.add(chunk)
        except BaseException as error:
            await self.stop()
            if isinstance(error, EndedError):
                return error.answer
            raise
        return await self.end()

    async def add(self, chunk: bytes) -> None:
        """The next bytes. Whatever error comes of them, `stop` is to be called."""
        if self.arriving.add(chunk):
            await in_thread(self._write)

    async def stop(self) -> None:
        """The line broke, or no more is wanted: what came is kept, even while the request is cancelled."""
        await asyncio.shield(in_thread(self._keep))

    async def end(self) -> UploadAnswer:
        """That was the part."""
        try:
            return await in_thread(self._finish if self.arriving.is_open else self._finish_small)
        except EndedError as ended:
            return ended.answer

    def retry(self) -> UploadAnswer:
        """Take in again what is held; called in a thread. What was stored meanwhile is told so."""
        try:
            with self._held:
                with self._work() as pipeline:
                    self._open(pipeline, "held")
                return self._take()
        except EndedError as ended:
            return ended.answer

    def _be(self, caller: Caller) -> None:
        self._caller, self._entrance = caller, Entrance(caller, "sync")

    @contextmanager
    def _work(self) -> Iterator[Pipeline]:
        """A transaction of the caller's tenant."""
        with tenant_work(self._caller) as session:
            pipeline = Pipeline(session)
            yield pipeline
            pipeline.finish()

    def _open(self, pipeline: Pipeline, state: str) -> None:
        self.arriving.open(self._entrance.spool, self._held)
        self.arriving.see(see_uploads(pipeline, self._caller.tenant_id, [self.arriving.upload_id]), state)

    def _write(self) -> Growing:
        """What came so far goes to the file."""
        if self._is_refused:
            raise UnreadableError("the request was refused", field="body")
        if not self.arriving.is_open:
            self._is_refused = True
            with self._work() as pipeline:
                self._open(pipeline, "declared")
            self._is_refused = False
        return self.arriving.write()

    def _finish(self) -> UploadAnswer:
        with self._held:
            file = self._write()
            if self.arriving.is_whole:
                file.begin_sync()
                return self._take()
            return self._noted(file)

    def _finish_small(self) -> UploadAnswer:
        """The same where nothing was written yet: whose it is, its bytes and its rows in one transaction."""
        with self._held:
            try:
                with self._work() as pipeline:
                    self._open(pipeline, "declared")
                    file = self.arriving.write()
                    if not self.arriving.is_whole:
                        file.sync()
                        return self.arriving.noted(pipeline.session, self._caller.tenant_id)
                    file.begin_sync()
                    stored, committed = self._entrance.intake.take_within(pipeline, self.arriving.offer())
            except NotLetInError as error:
                return self._kept_out(error)
            committed()
            return self.arriving.told(stored)

    def _keep(self) -> None:
        with self._held:
            try:
                self._noted(self._write())
            except (LabwireError, EndedError):
                return  # what broke the request has been told

    def _noted(self, file: Growing) -> UploadAnswer:
        file.sync()
        with tenant_session(self._caller.tenant_id) as session:
            return self.arriving.noted(session, self._caller.tenant_id)

    def _take(self) -> UploadAnswer:
        try:
            return self.arriving.told(self._entrance.intake.take(self.arriving.offer()))
        except NotLetInError as error:
            return self._kept_out(error)

    def _kept_out(self, error: NotLetInError) -> UploadAnswer:
        return self.arriving.kept_out(self._caller, self._entrance.spool, error)


class _NotAllowedError(Exception):
    """The bearer is known, and may not send images."""


class ResumingByToken(Resuming):
    """The same for a program: who it is is asked in the transaction of its upload."""

    def __init__(self, request: Request, arriving: Arriving, token: str) -> None:
        super().__init__(None, arriving)
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
            note_foreign(self._caller, "image_upload", self.arriving.upload_id)
            raise
        except _NotAllowedError:
            note_refusal(self._request, caller)
            raise refusal(caller, (TECHNICIAN,), WRITE) from None
