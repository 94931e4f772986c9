"""One radiology order: whose it is, its images, and what the doctor found in them."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, texts
from api.imaging.access import TECHNICIAN
from api.imaging.pages_kit import REFUSALS, Looker, Refusal, Reviewer, complaints, names_of, show
from api.render import redirect
from models.imaging.schemas import ReviewIn
from models.imaging.stores.orders import order_row, review_order
from models.imaging.stores.rejections import rejections_of
from models.imaging.stores.uploads import open_uploads
from models.kernel.errors import ConflictError
from models.kernel.fields import Id
from models.people.stores.reads import note_read

MOST_REJECTIONS = 8
router = APIRouter(prefix="/radiology/orders/{order_id}")


@router.get("")
def radiology_order(request: Request, order_id: Id, caller: Looker) -> Response:
    """The order; that its patient was looked at is noted."""
    return _page(request, caller, order_id)


@router.post("/review")
def review_radiology_order(request: Request, order_id: Id, caller: Reviewer, form: Form) -> Response:
    """Write the finding; refused where somebody else reviewed it, or images came, since the page was opened."""
    try:
        given = fill(ReviewIn, form)
        with tenant_work(caller) as session:
            review_order(session, caller.tenant_id, caller.actor, order_id, given, user_id=caller.user_id)
    except REFUSALS as error:
        return _page(request, caller, order_id, refused=error, typed=texts(form))
    return redirect(request, f"/radiology/orders/{order_id}", flash="Reviewed.")


def _page(
    request: Request,
    caller: Caller,
    order_id: int,
    *,
    refused: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        row = order_row(session, caller.tenant_id, order_id)
        names = names_of(session, caller.tenant_id, [row.order.ordered_by, row.order.reviewed_by])
        note_read(session, caller.tenant_id, caller.actor, [row.patient.id])
        rejections = rejections_of(session, row.study) if row.study is not None else []
        study_uid = row.study.study_uid if row.study is not None else None
        open_files = open_uploads(session, caller.tenant_id, order_id, study_uid)
    image_count = row.study.image_count if row.study is not None else 0
    known = {"version": str(row.order.version), "image_count": str(image_count)}
    context: dict[str, Any] = {
        "order": row.order,
        "patient": row.patient,
        "study": row.study,
        "names": names,
        "errors": errors,
        "typed": dict(typed or {}),
        "seen": _seen(known, refused, typed or {}),
        "rejections": rejections,
        "most_rejections": MOST_REJECTIONS,
        "open_files": open_files,
        "later": image_count - reviewed if (reviewed := row.order.reviewed_image_count) is not None else 0,
        "may_upload": caller.has(TECHNICIAN),
        "may_review": caller.has("doctor") and row.order.state == "performed",
    }
    return show(request, "order.html", caller, status=status, context=context)


def _seen(known: Mapping[str, str], refused: Refusal | None, typed: Mapping[str, str]) -> Mapping[str, str]:
    """What the form says was seen: what is there now, where that is told; after a mistake still what it said before."""
    if refused is None or isinstance(refused, ConflictError):
        return known
    return {name: typed.get(name, value) for name, value in known.items()}
