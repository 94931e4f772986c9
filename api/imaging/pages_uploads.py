"""Uploads: what is not complete, what is held and why, what became of the rest."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, text
from api.imaging.arriving import Arriving
from api.imaging.discarding import discard
from api.imaging.pages_kit import REFUSALS, PageNumber, Refusal, Technician, complaints, show
from api.imaging.resuming import Resuming
from api.render import redirect
from api.runs import start_completing
from models.imaging.rules import why
from models.imaging.schemas import SettleIn
from models.imaging.stores import uploads
from models.imaging.stores.uploads import UploadFilter, reason_of
from models.kernel.errors import ConflictError
from models.kernel.fields import Id

PAGE_SIZE = 50
State = Literal["declared", "held", "stored", "expired", "discarded"]
router = APIRouter(prefix="/radiology/uploads")


@router.get("")
def uploads_page(
    request: Request, caller: Technician, state: Annotated[State, Query()] = "declared", page: PageNumber = 1
) -> Response:
    """Uploads of one state, the newest first."""
    return _page(request, caller, state, page)


@router.post("/{upload_id}/retry")
def retry_upload_page(request: Request, upload_id: Id, caller: Technician) -> Response:
    """Try a held file again."""
    try:
        answer = Resuming(caller, Arriving(upload_id)).retry()
    except REFUSALS as error:
        return _page(request, caller, "held", refused=error)
    if answer.state == "stored":
        start_completing(caller)
        return redirect(request, "/radiology/uploads?state=held", flash="Stored.")
    said = f"Still held: {why(answer.rule or '')}."
    return redirect(request, "/radiology/uploads?state=held", flash=said, level="warning")


@router.post("/{upload_id}/discard")
def discard_upload_page(request: Request, upload_id: Id, caller: Technician, form: Form) -> Response:
    """Give up an upload, with a note: it never was an image."""
    state: State = "declared" if text(form, "state") == "declared" else "held"
    try:
        with tenant_work(caller) as session:
            uploads.get_upload(session, caller.tenant_id, upload_id)
        discard(caller, upload_id, fill(SettleIn, form).note)
    except REFUSALS as error:
        return _page(request, caller, state, refused=error, about=upload_id)
    return redirect(request, f"/radiology/uploads?state={state}", flash="Discarded.")


def _page(
    request: Request,
    caller: Caller,
    state: State,
    page: int = 1,
    *,
    refused: Refusal | None = None,
    about: int | None = None,
) -> Response:
    status, errors = complaints(refused)
    if isinstance(refused, ConflictError):
        errors, about = {"": str(refused)}, None
    with tenant_work(caller) as session:
        rows, total = uploads.list_uploads(session, caller.tenant_id, UploadFilter(state), page=page, size=PAGE_SIZE)
        counts = uploads.count_open(session, caller.tenant_id)
        shown = [(row, reason_of(row)) for row in rows]
    context = {
        "rows": shown,
        "counts": counts,
        "state": state,
        "errors": errors,
        "about": about,
        "page": page,
        "size": PAGE_SIZE,
        "total": total,
        "page_address": lambda number: f"/radiology/uploads?state={state}&page={number}",
    }
    return show(request, "uploads.html", caller, status=status, context=context)
