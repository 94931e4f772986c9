"""Upload in two steps, for a line that breaks: first what will come, then the bytes, in as many parts as it takes."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from api.deps import Caller, tenant_work
from api.errors import errors
from api.imaging.access import Page, Size, Uploader, UploadReader
from api.imaging.answers import DeclaredAnswer, UploadAnswer, UploadPage
from api.imaging.arriving import Arriving
from api.imaging.discarding import discard
from api.imaging.receiving import pieces
from api.imaging.resuming import Resuming
from api.runs import start_completing
from models.imaging.schemas import DeclarationIn, SettleIn, Uid
from models.imaging.stores import uploads
from models.imaging.stores.uploads import UploadFilter
from models.kernel.fields import Id
from tasks.clients.storage.spool import spool_of

OFFSET, LENGTH = "Upload-Offset", "Upload-Length"
"""As the tus protocol names them (tus.io, 1.0.0)."""
BINARY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

router = APIRouter(prefix="/uploads", tags=["imaging"])


@router.post("", status_code=201, responses=errors(401, 403, 404, 409))
def declare_uploads(given: DeclarationIn, caller: Uploader) -> DeclaredAnswer:
    """The first step: what will be uploaded. Sent again after a lost answer it is the same uploads.

    UIDs of JPEG and PNG files that are left out are made from study and checksum; what is stored already is told so.
    """
    with tenant_work(caller) as session:
        rows = uploads.declare(session, caller.tenant_id, caller.actor, given, user_id=caller.user_id)
        return DeclaredAnswer(uploads=[UploadAnswer.of(row) for row in rows])


@router.get("", responses=errors(401, 403))
def list_uploads(
    caller: UploadReader,
    state: Annotated[str, Query(pattern="^(declared|held|stored|expired|discarded)?$")] = "",
    study_uid: Annotated[Uid | None, Query()] = None,
    radiology_order_id: Annotated[Id | None, Query()] = None,
    page: Page = 1,
    size: Size = 50,
) -> UploadPage:
    """Uploads of a state; without one those that are not complete or held. The newest first."""
    wanted = UploadFilter(state, study_uid or "", radiology_order_id)
    with tenant_work(caller) as session:
        rows, total = uploads.list_uploads(session, caller.tenant_id, wanted, page=page, size=size)
        items = [UploadAnswer.of(row) for row in rows]
    return UploadPage(items=items, total=total, page=page, size=size)


@router.get("/{upload_id}", responses=errors(401, 403, 404))
def get_upload(upload_id: Id, caller: UploadReader) -> UploadAnswer:
    """One upload: how much of it is here, and what became of it."""
    with tenant_work(caller) as session:
        row = uploads.get_upload(session, caller.tenant_id, upload_id)
        return _answer(caller, UploadAnswer.of(row))


@router.head("/{upload_id}/binary", status_code=204, responses=errors(401, 403, 404))
def head_binary(upload_id: Id, caller: UploadReader, response: Response) -> None:
    """How many bytes are here (`Upload-Offset`): the next part begins there."""
    with tenant_work(caller) as session:
        row = uploads.get_upload(session, caller.tenant_id, upload_id)
        answer = _answer(caller, UploadAnswer.of(row))
    response.headers[OFFSET], response.headers[LENGTH] = str(answer.received_bytes), str(answer.file_size)


@router.patch("/{upload_id}/binary", responses=errors(401, 403, 404, 409), openapi_extra=BINARY)
async def add_part(
    upload_id: Id,
    request: Request,
    response: Response,
    caller: Uploader,
    offset: Annotated[int, Header(alias=OFFSET, ge=0)],
) -> UploadAnswer:
    """The second step: bytes from `Upload-Offset` on. With the last of them the image is stored, or held with the rule.

    The offset is at most what is here (409 otherwise, with what is here in `Upload-Offset`); bytes sent before may be
    sent again. What came before a line broke is kept. 422 with field `checksum`: the file is not the declared one, and
    begins again at 0.
    """
    return await _receive(request, response, caller, upload_id, offset)


@router.put("/{upload_id}/binary", responses=errors(401, 403, 404, 409), openapi_extra=BINARY)
async def put_binary(upload_id: Id, request: Request, response: Response, caller: Uploader) -> UploadAnswer:
    """The same for the whole file at once."""
    return await _receive(request, response, caller, upload_id, 0)


@router.post("/{upload_id}/retry", responses=errors(401, 403, 404, 409))
def retry_upload(upload_id: Id, caller: Uploader) -> UploadAnswer:
    """Try a held file again, after what held it was put right."""
    answer = Resuming(caller, Arriving(upload_id)).retry()
    start_completing(caller)
    return answer


@router.post("/{upload_id}/discard", responses=errors(401, 403, 404, 409))
def discard_upload(upload_id: Id, given: SettleIn, caller: Uploader) -> UploadAnswer:
    """Give up an upload that is held or not complete. It never was an image: its bytes go, the note stays.

    503 while a part of it is being received, 409 once it has ended.
    """
    return discard(caller, upload_id, given.note)


async def _receive(request: Request, response: Response, caller: Caller, upload_id: int, offset: int) -> UploadAnswer:
    answer = await Resuming(caller, Arriving(upload_id, offset)).receive(pieces(request))
    if answer.state == "stored":
        start_completing(caller)
    response.headers[OFFSET] = str(answer.received_bytes)
    return answer


def _answer(caller: Caller, answer: UploadAnswer) -> UploadAnswer:
    """With what the spool has now, which is more than was noted where a line broke."""
    if answer.state == "declared":
        answer.received_bytes = min(spool_of(caller.tenant_slug).size_of(answer.id), answer.file_size)
    return answer
