"""Alerts: which there are, what happened to them, acknowledging and closing."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.alerts.answers import AlertAnswer, AlertDetailAnswer, AlertEventAnswer, AlertPage
from api.deps import Caller, may, tenant_work
from api.errors import errors
from models.alerts.schemas import AcknowledgeIn, CloseIn
from models.alerts.stores import alerts
from models.kernel.fields import Id
from models.people.roles import ALERT_DECIDERS, ALERT_TAKERS, CLINICAL
from models.people.stores.reads import note_read

router = APIRouter(prefix="/alerts", tags=["alerts"])
Reader = Annotated[Caller, Depends(may(*CLINICAL, scope="patients:read"))]
Taker = Annotated[Caller, Depends(may(*ALERT_TAKERS, scope="patients:write"))]
Closer = Annotated[Caller, Depends(may(*ALERT_DECIDERS, scope="patients:write"))]


@router.get("", responses=errors(401, 403))
def list_alerts(
    caller: Reader,
    is_open: bool = True,
    patient_id: Id | None = None,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    size: Annotated[int, Query(ge=1, le=100)] = 50,
) -> AlertPage:
    """Alerts that are open, or those that are over; the critical ones first. The reading is noted."""
    with tenant_work(caller) as session:
        rows, total = alerts.list_alerts(
            session,
            caller.tenant_id,
            is_open=is_open,
            patient_id=patient_id,
            limit=size,
            offset=(page - 1) * size,
        )
        note_read(session, caller.tenant_id, caller.actor, sorted({row.patient_id for row in rows}))
        items = [AlertAnswer.model_validate(row) for row in rows]
    return AlertPage(items=items, total=total, page=page, size=size)


@router.get("/{alert_id}", responses=errors(401, 403, 404))
def get_alert(alert_id: Id, caller: Reader) -> AlertDetailAnswer:
    """One alert with its story: who was told when, and what the patient answered. The reading is noted."""
    with tenant_work(caller) as session:
        row = alerts.get_row(session, caller.tenant_id, alert_id)
        note_read(session, caller.tenant_id, caller.actor, [row.patient_id])
        events = [AlertEventAnswer.model_validate(one) for one in alerts.story(session, caller.tenant_id, alert_id)]
        return AlertDetailAnswer(**AlertAnswer.model_validate(row).model_dump(), events=events)


@router.post("/{alert_id}/acknowledge", responses=errors(401, 403, 404, 409))
def acknowledge_alert(alert_id: Id, given: AcknowledgeIn, caller: Taker) -> AlertAnswer:
    """Take it over, reading back what you were told: nobody else is told any more. 409 when somebody did before."""
    with tenant_work(caller) as session:
        alerts.acknowledge(session, caller.tenant_id, caller.actor, alert_id, given, user_id=caller.user_id)
        return AlertAnswer.model_validate(alerts.get_row(session, caller.tenant_id, alert_id))


@router.post("/{alert_id}/close", responses=errors(401, 403, 404, 409))
def close_alert(alert_id: Id, given: CloseIn, caller: Closer) -> AlertAnswer:
    """End it, with a reason; the next abnormal reading opens another."""
    with tenant_work(caller) as session:
        alerts.close(session, caller.tenant_id, caller.actor, alert_id, given, user_id=caller.user_id)
        return AlertAnswer.model_validate(alerts.get_row(session, caller.tenant_id, alert_id))
