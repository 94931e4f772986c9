"""One study: its series and images, what is wrong with them, whose it is, and who was given an address of it."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api.deps import Caller, tenant_work
from api.forms import Form, fill
from api.imaging.access import sees_unassigned
from api.imaging.image_links import new_viewer_url, seconds_of
from api.imaging.pages_kit import REFUSALS, Looker, PageNumber, Refusal, Technician, complaints, names_of, show
from api.imaging.viewing import write_uses
from api.render import redirect
from models.imaging.schemas import AssignIn
from models.imaging.stores import grants, studies
from models.imaging.stores.assigning import assign_by_hand, fitting_orders
from models.imaging.stores.orders import OrderRow, order_row
from models.imaging.stores.studies import Seen
from models.imaging.tables import RadiologyImage, RadiologyStudy
from models.kernel.clock import utc_now
from models.kernel.fields import Id
from models.kernel.settings import settings
from models.people.stores.patients import codes_of
from models.people.stores.reads import note_read

FIRST_IMAGES, PAGE_SIZE, MOST_GRANTS = 12, 60, 20
router = APIRouter(prefix="/radiology/studies/{study_id}")


@router.get("")
def radiology_study(
    request: Request,
    study_id: Id,
    caller: Looker,
    series: Annotated[Id | None, Query()] = None,
    page: PageNumber = 1,
) -> Response:
    """The study, or all images of one of its series; that it was looked at is noted."""
    return _page(request, caller, study_id, series_id=series, page=page)


@router.post("/view")
def open_in_viewer(request: Request, study_id: Id, caller: Looker) -> Response:
    """Give out an address of the viewer and go there; a viewer elsewhere is gone to by a page in between."""
    with tenant_work(caller) as session:
        study = studies.get_study(session, caller.tenant_id, study_id, Seen(sees_unassigned(caller)))
        address, _ = new_viewer_url(session, caller, study, seconds_of(None))
    inside = address.removeprefix(settings().base_url)
    if inside.startswith("/"):
        return redirect(request, inside)
    return show(request, "elsewhere.html", caller, context={"address": address})


@router.post("/assign")
def assign_radiology_study(request: Request, study_id: Id, caller: Technician, form: Form) -> Response:
    """Say which order a study belongs to."""
    try:
        order_id = fill(AssignIn, form).radiology_order_id
        with tenant_work(caller) as session:
            assign_by_hand(session, caller.tenant_id, caller.actor, study_id, order_id=order_id, user_id=caller.user_id)
    except REFUSALS as error:
        return _page(request, caller, study_id, refused=error)
    return redirect(request, f"/radiology/studies/{study_id}", flash="Assigned: doctors see it now.")


@router.post("/grants/{grant_id}/revoke")
def revoke_address(request: Request, study_id: Id, grant_id: Id, caller: Looker, form: Form) -> Response:
    """An address that was given out opens nothing from now on."""
    is_anyones = sees_unassigned(caller)
    with tenant_work(caller) as session:
        grants.revoke_grant(
            session, caller.tenant_id, caller.actor, grant_id, user_id=caller.user_id, is_anyones=is_anyones
        )
    return redirect(request, f"/radiology/studies/{study_id}#addresses", flash="Revoked: it opens nothing any more.")


def _page(
    request: Request,
    caller: Caller,
    study_id: int,
    *,
    series_id: int | None = None,
    page: int = 1,
    refused: Refusal | None = None,
) -> Response:
    status, errors = complaints(refused)
    own = None if sees_unassigned(caller) else caller.user_id
    with tenant_work(caller) as session:
        study = studies.get_study(session, caller.tenant_id, study_id, Seen(sees_unassigned(caller)))
        series = studies.series_of(session, study)
        images = studies.images_of(session, study)
        studies.note_study_read(session, caller.tenant_id, caller.actor, study)
        given = grants.list_grants(session, caller.tenant_id, study_id, user_id=own)[:MOST_GRANTS]
        context = {
            **_whose(session, caller, study),
            "names": names_of(session, caller.tenant_id, [study.assigned_by, *(image.rejected_by for image in images)]),
        }
    write_uses(caller.tenant_id, [grant.id for grant, _ in given])
    chosen = next((one for one in series if one.id == series_id), None)
    context |= {
        "study": study,
        "series": [chosen] if chosen else series,
        "chosen": chosen,
        "images": _shown(images, series_id if chosen else None, page),
        "problems": [image for image in images if image.problem or image.rejected_at],
        "grants": given,
        "now": utc_now(),
        "errors": errors,
        "page": page,
        "size": PAGE_SIZE,
        "total": chosen.image_count if chosen else 0,
        "page_address": lambda number: f"/radiology/studies/{study_id}?series={series_id}&page={number}",
    }
    return show(request, "study.html", caller, status=status, context=context)


def _whose(session: Session, caller: Caller, study: RadiologyStudy) -> dict[str, Any]:
    """The order and patient, or for a technician the orders the study may belong to."""
    row: OrderRow | None = None
    if study.radiology_order_id is not None:
        row = order_row(session, caller.tenant_id, study.radiology_order_id)
        is_same = study.patient_code in codes_of(session, caller.tenant_id, row.patient.id)
        return {"order": row.order, "patient": row.patient, "is_same": is_same, "fitting": []}
    fitting = fitting_orders(session, caller.tenant_id, study)
    note_read(session, caller.tenant_id, caller.actor, [patient.id for _, patient in fitting])
    return {"order": None, "patient": None, "is_same": True, "fitting": fitting}


def _shown(images: Sequence[RadiologyImage], series_id: int | None, page: int) -> dict[int, list[RadiologyImage]]:
    """The images whose thumbnails are shown, by series: the first of each, or a page of one."""
    of: dict[int, list[RadiologyImage]] = {}
    for image in images:
        of.setdefault(image.series_id, []).append(image)
    if series_id is not None:
        return {series_id: of.get(series_id, [])[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]}
    return {number: found[:FIRST_IMAGES] for number, found in of.items()}
