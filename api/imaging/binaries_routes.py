"""Second step of several small uploads in one request: over a long line a file a round trip would be slow."""

import logging
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import DBAPIError

from api.deps import Caller, note_foreign
from api.errors import errors, status_of
from api.imaging.access import Uploader
from api.imaging.answers import BinariesAnswer, BinaryAnswer, UploadAnswer
from api.imaging.arriving import Arriving, EndedError
from api.imaging.groups import Groups
from api.imaging.parts import Begin, Data, boundary_of, disposition_of, read_parts
from api.imaging.receiving import Entrance, in_thread, pieces
from api.imaging.resuming import Resuming
from api.imaging.together import Outcome, Together
from api.runs import start_completing
from models.kernel.errors import (
    InvalidError,
    LabwireError,
    NotFoundError,
    RetryableError,
    TooLargeError,
    UnreadableError,
)
from models.kernel.fields import LARGEST_ID

FORM = "multipart/form-data"
MOST_FILES = 1_000
"""Of one request: those before one too many are taken."""

OK, AWAY = 200, 503
TOLD = (LabwireError, DBAPIError)
"""What becomes of one upload, and keeps no other one out."""
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    202: {"model": BinariesAnswer, "description": "Some are taken"},
    409: {"model": BinariesAnswer, "description": "None is taken"},
    **errors(401, 403),
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {"type": "object", "additionalProperties": {"type": "string", "format": "binary"}},
            }
        },
    }
}

log = logging.getLogger(__name__)
router = APIRouter(prefix="/uploads", tags=["imaging"])


class Reading:
    """The binaries of one request as they come. A large one is written piece by piece, small ones by groups."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._groups = Groups(self._take)
        self._outcomes: dict[int, Outcome] = {}
        self._ids: list[int] = []
        self._coming: Resuming | None = None

    async def read(self, request: Request, boundary: bytes) -> list[tuple[int, Outcome]]:
        """What became of each, in their order. When the line breaks, what came is kept, and what is whole stored."""
        try:
            async for event in read_parts(pieces(request), boundary):
                if isinstance(event, Begin):
                    self._begin(disposition_of(event.headers)[0])
                elif self._coming is not None:
                    coming = self._coming
                    await (self._add(coming, event.content) if isinstance(event, Data) else self._end(coming))
        finally:
            if self._coming is not None:
                await self._coming.stop()
            await self._groups.settle()
        outcomes = self._outcomes | dict(self._groups.told())
        return [(upload_id, outcomes[upload_id]) for upload_id in self._ids]

    def _begin(self, name: str) -> None:
        if not (name.isascii() and name.isdecimal() and len(name) < 20 and 0 < int(name) <= LARGEST_ID):
            raise InvalidError("is no number of an upload", field="name")
        if int(name) in self._ids:
            raise InvalidError("comes twice in one request", field=name)
        if len(self._ids) == MOST_FILES:
            raise TooLargeError(f"more than {MOST_FILES} files in one request: those are taken", field="body")
        self._ids.append(int(name))
        self._coming = Resuming(self._entrance.caller, Arriving(int(name)))

    async def _add(self, coming: Resuming, content: bytes) -> None:
        try:
            await coming.add(content)
        except (*TOLD, EndedError) as error:
            self._coming = None  # the rest of it is passed over
            await coming.stop()
            self._outcomes[self._ids[-1]] = error.answer if isinstance(error, EndedError) else error

    async def _end(self, coming: Resuming) -> None:
        self._coming = None
        if not coming.arriving.is_open:
            await self._groups.add(coming.arriving, coming.arriving.bytes_in_memory)
            return
        try:
            self._outcomes[self._ids[-1]] = await coming.end()
        except TOLD as error:
            self._outcomes[self._ids[-1]] = error

    def _take(self, group: list[Arriving]) -> list[tuple[int, Outcome]]:
        ids = [one.upload_id for one in group]
        try:
            return list(zip(ids, Together(self._entrance, group).take(), strict=True))
        except (RetryableError, DBAPIError) as error:
            return [(upload_id, error) for upload_id in ids]


@router.post("/binaries", responses=DOCUMENTED, openapi_extra=BODY)
async def add_binaries(request: Request, response: Response, caller: Uploader) -> BinariesAnswer:
    """The second step of several uploads in one request: a form whose parts are named by the uploads' numbers.

    Each part is a file from its first byte on. 200 when each was taken, as `status` of each says: stored, held, or how
    much of it is here. When the line breaks what came is kept: ask by `HEAD` where each goes on.
    """
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith(FORM):
        raise UnreadableError(f"the body must be {FORM}", field="Content-Type")
    boundary, _ = boundary_of(content_type)
    outcomes = await Reading(Entrance(caller, "sync")).read(request, boundary)
    if not outcomes:
        raise InvalidError("at least one file is needed", field="body")
    answers = await in_thread(lambda: [_answer(caller, *one) for one in outcomes])
    if all(one.status == AWAY for one in answers):
        raise RetryableError("nothing can be stored just now")
    taken = sum(one.status == OK for one in answers)
    if any(one.upload is not None and one.upload.state == "stored" for one in answers):
        start_completing(caller)
    response.status_code = OK if taken == len(answers) else 202 if taken else 409
    return BinariesAnswer(uploads=answers)


def _answer(caller: Caller, upload_id: int, outcome: Outcome) -> BinaryAnswer:
    if isinstance(outcome, UploadAnswer):
        return BinaryAnswer(id=upload_id, status=OK, upload=outcome)
    if isinstance(outcome, DBAPIError):
        log.warning("an upload cannot be stored just now: %s", type(outcome).__name__)
        return BinaryAnswer(id=upload_id, status=AWAY, error="not possible just now")
    if not isinstance(outcome, LabwireError) or (status := status_of(outcome)) == 500:
        raise outcome
    if isinstance(outcome, NotFoundError):
        note_foreign(caller, "image_upload", upload_id)
    return BinaryAnswer(id=upload_id, status=status, error=str(outcome), field=getattr(outcome, "field", None))
