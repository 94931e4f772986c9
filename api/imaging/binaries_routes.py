"""Second step of several uploads in one request: over a long line a round trip for each small file is slow."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.errors import errors, status_of
from api.imaging.access import Uploader
from api.imaging.answers import BinariesAnswer, BinaryAnswer, UploadAnswer
from api.imaging.binaries import Binaries
from api.imaging.failures import AWAY, failure_of
from api.imaging.parts import boundary_of
from api.imaging.receiving import Entrance
from api.imaging.together import Outcome
from models.kernel.errors import InvalidError, UnreadableError

FORM = "multipart/form-data"
OK = 200
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

router = APIRouter(prefix="/uploads", tags=["imaging"])


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
    outcomes = await Binaries(Entrance(caller, "sync")).read(request, boundary)
    if not outcomes:
        raise InvalidError("at least one file is needed", field="body")
    failed = [outcome for _, outcome in outcomes if isinstance(outcome, Exception)]
    if len(failed) == len(outcomes) and all(status_of(error) == AWAY for error in failed):
        raise failed[0]  # nothing can be stored just now: why, and when to come again, is said as of a single one
    answers = [_answer(*one) for one in outcomes]
    taken = len(answers) - len(failed)
    response.status_code = OK if not failed else 202 if taken else 409
    return BinariesAnswer(uploads=answers)


def _answer(upload_id: int, outcome: Outcome) -> BinaryAnswer:
    if isinstance(outcome, UploadAnswer):
        return BinaryAnswer(id=upload_id, status=OK, upload=outcome)
    failure = failure_of(outcome)
    return BinaryAnswer(id=upload_id, status=failure.status, error=failure.error, field=failure.field)
