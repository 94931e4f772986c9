"""The board of open alerts, and one alert with its story, where it is acknowledged and closed."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ValidationError

from api.alerts.pages_kit import show
from api.deps import Caller, page, tenant_work
from api.forms import Form, fill, texts
from api.instruments.pages_kit import complaints
from api.render import redirect
from models.alerts.schemas import AcknowledgeIn, CloseIn
from models.alerts.stores import alerts
from models.kernel.errors import ConflictError, InvalidError
from models.kernel.fields import Id
from models.people.roles import ALERT_DECIDERS, ALERT_TAKERS, BEDSIDE, CLINICAL
from models.people.stores.reads import note_read

router = APIRouter(prefix="/alerts")
Reader = Annotated[Caller, Depends(page(*CLINICAL))]
Taker = Annotated[Caller, Depends(page(*ALERT_TAKERS))]
Closer = Annotated[Caller, Depends(page(*ALERT_DECIDERS))]
REFUSALS = (ValidationError, ConflictError, InvalidError)
PAGE_SIZE = 50


@router.get("")
def board(
    request: Request,
    caller: Reader,
    which: Literal["open", "over"] = "open",
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> Response:
    """Open alerts, the critical and unacknowledged first; or those that are over. The reading is noted."""
    with tenant_work(caller) as session:
        offset = (number - 1) * PAGE_SIZE
        is_open = which == "open"
        rows, total = alerts.list_alerts(session, caller.tenant_id, is_open=is_open, limit=PAGE_SIZE, offset=offset)
        note_read(session, caller.tenant_id, caller.actor, sorted({row.patient_id for row in rows}))
    context: dict[str, Any] = {
        "rows": rows,
        "which": which,
        "page": number,
        "size": PAGE_SIZE,
        "total": total,
        "takers": ALERT_TAKERS,
        "page_address": lambda number: f"/alerts?which={which}&page={number}",
    }
    return show(request, "board.html", caller, context=context)


@router.get("/{alert_id}")
def one_alert(request: Request, alert_id: Id, caller: Reader) -> Response:
    """One alert: the value, who was told when, what the patient answered. The reading is noted."""
    return _page(request, caller, alert_id)


@router.post("/{alert_id}/acknowledge")
def acknowledge(request: Request, alert_id: Id, caller: Taker, form: Form) -> Response:
    """Take it over, with the read-back."""
    return _take(request, caller, alert_id, form, AcknowledgeIn)


@router.post("/{alert_id}/close")
def close(request: Request, alert_id: Id, caller: Closer, form: Form) -> Response:
    """End it, with a reason."""
    return _take(request, caller, alert_id, form, CloseIn)


def _take(
    request: Request, caller: Caller, alert_id: int, form: Form, shape: type[AcknowledgeIn] | type[CloseIn]
) -> Response:
    try:
        given: BaseModel = fill(shape, form)
        with tenant_work(caller) as session:
            if isinstance(given, AcknowledgeIn):
                alerts.acknowledge(session, caller.tenant_id, caller.actor, alert_id, given, user_id=caller.user_id)
                said = "Acknowledged. Nobody else is told."
            else:
                given = CloseIn.model_validate(given.model_dump())
                alerts.close(session, caller.tenant_id, caller.actor, alert_id, given, user_id=caller.user_id)
                said = "Closed."
    except REFUSALS as error:
        return _page(request, caller, alert_id, typed=texts(form), refused=error)
    return redirect(request, f"/alerts/{alert_id}", flash=said)


def _page(
    request: Request,
    caller: Caller,
    alert_id: int,
    *,
    typed: Mapping[str, str] | None = None,
    refused: ValidationError | ConflictError | InvalidError | None = None,
) -> Response:
    with tenant_work(caller) as session:
        row = alerts.get_row(session, caller.tenant_id, alert_id)
        events = alerts.story(session, caller.tenant_id, alert_id)
        note_read(session, caller.tenant_id, caller.actor, [row.patient_id])
    status, errors = complaints(refused)
    context: dict[str, Any] = {"row": row, "events": events, "typed": dict(typed or {}), "errors": errors}
    context |= {"takers": ALERT_TAKERS, "deciders": ALERT_DECIDERS, "bedside": BEDSIDE}
    return show(request, "alert.html", caller, status=status, context=context)
