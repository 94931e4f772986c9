"""The page where files are chosen and sent; what sends them is static/upload.js, through the JSON API."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.deps import tenant_work
from api.imaging.pages_kit import Technician, show
from models.imaging.stores.orders import order_row
from models.imaging.stores.uploads import count_open
from models.kernel.fields import Id
from models.kernel.settings import settings
from models.people.stores.reads import note_read

router = APIRouter(prefix="/radiology/upload")


@router.get("")
def upload_page(
    request: Request, caller: Technician, radiology_order_id: Annotated[Id | None, Query()] = None
) -> Response:
    """For one order, whose patient is shown and the reading noted; without one files find theirs by what they say."""
    context: dict[str, Any] = {"order": None, "patient": None, "study": None}
    with tenant_work(caller) as session:
        if radiology_order_id is not None:
            row = order_row(session, caller.tenant_id, radiology_order_id)
            note_read(session, caller.tenant_id, caller.actor, [row.patient.id])
            context = {"order": row.order, "patient": row.patient, "study": row.study}
        context["counts"] = count_open(session, caller.tenant_id)
    context["largest_bytes"] = settings().radiology_largest_mb * 2**20
    return show(request, "upload.html", caller, context=context)
