"""Studies as a list with thumbnails: by patient, words, modality, day, and for technicians those without an order."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from api.deps import tenant_work
from api.errors import form_errors, form_status
from api.imaging.access import sees_unassigned
from api.imaging.pages_kit import Looker, PageNumber, show
from api.imaging.words import MODALITIES
from models.imaging.schemas import AnyModality
from models.imaging.stores import studies
from models.imaging.stores.studies import Seen, StudyFilter
from models.kernel.fields import Code, IsoDate, Line

PAGE_SIZE = 25
NAMES = ("q", "patient", "modality", "date_from", "date_to")
router = APIRouter(prefix="/radiology/studies")


class Filters(BaseModel):
    """What the address says."""

    model_config = ConfigDict(extra="ignore")

    q: Line = ""
    patient: Code | None = None
    modality: AnyModality | None = None
    date_from: IsoDate | None = None
    date_to: IsoDate | None = None


@router.get("")
def radiology_studies(
    request: Request, caller: Looker, page: PageNumber = 1, unassigned: Annotated[bool, Query()] = False
) -> Response:
    """The latest examination first; that they were shown is noted. A filter that cannot be read is named."""
    given = {name: text for name in NAMES if (text := request.query_params.get(name, "").strip())}
    is_unassigned = unassigned and sees_unassigned(caller)
    error, rows, total, without = None, [], 0, 0
    seen = Seen(sees_unassigned(caller))
    try:
        read = Filters.model_validate(given)
    except ValidationError as problem:
        error, read = problem, Filters()
    if read.modality:
        given["modality"] = read.modality
    wanted = StudyFilter(
        patient_code=read.patient or "",
        modality=read.modality or "",
        date_from=read.date_from,
        date_to=read.date_to,
        is_unassigned=is_unassigned or None,
        q=read.q,
    )
    with tenant_work(caller) as session:
        if error is None:
            found, total = studies.list_studies(session, caller.tenant_id, wanted, seen, page=page, size=PAGE_SIZE)
            rows = list(found)
            studies.note_studies_read(session, caller.tenant_id, caller.actor, rows)
        if sees_unassigned(caller):
            waiting = StudyFilter(is_unassigned=True)
            without = studies.list_studies(session, caller.tenant_id, waiting, seen, size=1)[1]
    context: dict[str, Any] = {
        "rows": rows,
        "values": given,
        "errors": form_errors(error),
        "modalities": list(_modalities(given.get("modality", "")).items()),
        "is_unassigned": is_unassigned,
        "without": without,
        "page": page,
        "size": PAGE_SIZE,
        "total": total,
        "page_address": lambda number: _address(given, is_unassigned=is_unassigned, page=number),
        "tab_address": lambda which: _address(given, is_unassigned=which),
    }
    return show(request, "studies.html", caller, status=form_status(error), context=context)


def _modalities(chosen: str) -> dict[str, str]:
    """What is offered, and what is looked for now: any other can stand in the address."""
    return MODALITIES | ({chosen: chosen} if chosen and chosen not in MODALITIES else {})


def _address(given: Mapping[str, str], *, is_unassigned: bool, page: int = 1) -> str:
    more = {"unassigned": "true"} if is_unassigned else {}
    pairs = {**given, **more, **({"page": str(page)} if page > 1 else {})}
    return "/radiology/studies" + (f"?{urlencode(pairs)}" if pairs else "")
