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
from models.kernel.fields import Id
from models.people.stores.reads import note_read

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
    context: dict[str, Any] = {
        "order": row.order,
        "patient": row.patient,
        "study": row.study,
        "names": names,
        "errors": errors,
        "typed": dict(typed or {}),
        "may_upload": caller.has(TECHNICIAN),
        "may_review": caller.has("doctor") and row.order.state == "performed",
    }
    return show(request, "order.html", caller, status=status, context=context)
