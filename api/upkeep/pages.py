"""The pages of the outbox and the audit trail."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.deps import Caller, page, tenant_work
from api.forms import Form, text
from api.render import redirect, render
from api.upkeep import audit_view, deeds, quality_pages
from models.kernel.errors import RefusedError
from models.kernel.fields import Id, IsoDate, Line
from models.upkeep.audit_trail import AuditFilter
from models.upkeep.deliveries import (
    NEEDING_A_PERSON,
    STATES,
    DeliveryFilter,
    count_by_state,
    list_deliveries,
    list_destinations,
)

router = APIRouter()
router.include_router(quality_pages.router)
Overseer = Annotated[Caller, Depends(page(*deeds.ROLES))]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=100_000)]
Which = Literal["waiting", "under-way", "done", "skipped", "all"]
PAGE_SIZE = 50
LAST_DAY = date(9999, 12, 30)
"""The last one with a day after it in every zone."""
TABS: dict[str, tuple[str, tuple[str, ...]]] = {
    "waiting": ("Needs a person", NEEDING_A_PERSON),
    "under-way": ("Under way", ("due", "leased")),
    "done": ("Delivered", ("done",)),
    "skipped": ("Given up", ("skipped",)),
    "all": ("All", STATES),
}


@router.get("/outbox")
def show_outbox(
    request: Request,
    caller: Overseer,
    which: Which = "waiting",
    destination: Annotated[Line, Query()] = "",
    entity: Annotated[Line, Query()] = "",
    number: PageNumber = 1,
) -> Response:
    """What is to be sent, was sent, and could not be sent."""
    wanted = DeliveryFilter(TABS[which][1], destination, entity)
    with tenant_work(caller) as session:
        rows = list_deliveries(session, caller.tenant_id, wanted, limit=PAGE_SIZE, offset=(number - 1) * PAGE_SIZE)
        counts = count_by_state(session, caller.tenant_id, wanted)
        destinations = list_destinations(session, caller.tenant_id)
    filters = {"destination": destination, "entity": entity}
    return render(
        request,
        "upkeep/outbox.html",
        caller,
        rows=rows,
        which=which,
        tabs=[(name, label, sum(counts[state] for state in states)) for name, (label, states) in TABS.items()],
        destinations=destinations,
        destination=destination,
        entity=entity,
        back=_address("/outbox", which=which, **filters, page=number),
        tab_address=lambda name: _address("/outbox", which=name, **filters),
        total=sum(counts[state] for state in wanted.states),
        page=number,
        size=PAGE_SIZE,
        page_address=lambda wanted_page: _address("/outbox", which=which, **filters, page=wanted_page),
    )


@router.post("/outbox/replay")
def replay(request: Request, caller: Overseer, form: Form) -> Response:
    """Send the chosen deliveries again."""
    try:
        ids = TypeAdapter(list[Id]).validate_python(form.getlist("id"))
    except ValidationError:
        ids = []
    if not ids:
        return redirect(request, _back(form), flash="No delivery was chosen.", level="error")
    again, refusals = deeds.replay_several(caller, ids[:PAGE_SIZE])
    told = f"{again} {'delivery is' if again == 1 else 'deliveries are'} due again."
    if refusals:
        more = f" (and {len(refusals) - 3} more)" if len(refusals) > 3 else ""
        told = f"{told} Not possible: {'; '.join(refusals[:3])}{more}."
    return redirect(request, _back(form), flash=told, level="error" if refusals else "success")


@router.post("/outbox/{delivery_id}/skip")
def skip(request: Request, caller: Overseer, delivery_id: Id, form: Form) -> Response:
    """Give a delivery up, with a reason."""
    try:
        reason = TypeAdapter(Line).validate_python(text(form, "reason"))
        row = deeds.skip(caller, delivery_id, reason)
    except ValidationError:
        return redirect(request, _back(form), flash="The reason is too long.", level="error")
    except RefusedError as refusal:
        return redirect(request, _back(form), flash=_sentence(str(refusal)), level="error")
    return redirect(request, _back(form), flash=f"Delivery {row.id} is given up.")


class AuditForm(BaseModel):
    """The search form as typed."""

    actor: Line = ""
    action: Line = ""
    resource_type: Line = ""
    resource_id: Line = ""
    since: Line = ""
    until: Line = ""
    before_id: Id | None = None


@router.get("/audit")
def show_audit(request: Request, caller: Overseer, form: Annotated[AuditForm, Query()]) -> Response:
    """Who did what to what, and whether the rows are sealed and as they were written."""
    days, problem = _days(form.since, form.until)
    begin, end = _moments(days, caller.time_zone)
    wanted = AuditFilter(form.actor, form.action, form.resource_type, form.resource_id, begin, end)
    rows, following = audit_view.search(caller, wanted, size=PAGE_SIZE, before_id=form.before_id)
    typed = form.model_dump(exclude={"before_id"})
    return render(
        request,
        "upkeep/audit.html",
        caller,
        422 if problem else 200,
        rows=rows,
        typed=typed,
        problem=problem,
        is_first=form.before_id is None,
        first_address=_address("/audit", **typed),
        next_address=_address("/audit", **typed, before_id=following) if following else "",
    )


def _days(since: str, until: str) -> tuple[tuple[date | None, date | None], str]:
    """The two days, and what is wrong with them."""
    try:
        first, last = (TypeAdapter(IsoDate).validate_python(day) if day else None for day in (since, until))
    except ValidationError:
        return (None, None), "The days have to look like 2026-11-20; they were left aside."
    return (first, last), ""


def _moments(days: tuple[date | None, date | None], zone: str) -> tuple[datetime | None, datetime | None]:
    """From the beginning of the first day to the end of the last, by the laboratory's clock."""
    first, last = days
    begin = datetime.combine(first, time.min, ZoneInfo(zone)) if first else None
    following = last + timedelta(days=1) if last and last < LAST_DAY else None
    end = datetime.combine(following, time.min, ZoneInfo(zone)) if following else None
    return begin, end


def _address(path: str, **query: Any) -> str:
    filled = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(filled)}" if filled else path


def _back(form: Form) -> str:
    """The list the form was on; never another site's address."""
    address = text(form, "back")
    return address if address.startswith("/outbox") else "/outbox"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
