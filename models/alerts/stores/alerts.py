"""Alerts as people see and take them: the board, one alert's story, acknowledging and closing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from models.alerts.schemas import AcknowledgeIn, CloseIn
from models.alerts.stores.changes import Happened, write_down
from models.alerts.tables import Alert, AlertEvent
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, NotFoundError
from models.people.rules import refuse_stale

ROWS = text("""
SELECT a.*, p.code AS patient_code, p.family_name, p.given_names, u.name AS acknowledged_by_name,
       c.name AS closed_by_name,
       (SELECT max(e.at) FROM alert_event e WHERE e.tenant_id = a.tenant_id AND e.alert_id = a.id
           AND e.name = 'told' AND e.detail -> 'told' <> '[]') AS told_at,
       (SELECT q.answer FROM alert_question q WHERE q.tenant_id = a.tenant_id AND q.alert_id = a.id
           ORDER BY q.id DESC LIMIT 1) AS answer
FROM alert a JOIN patient p ON p.tenant_id = a.tenant_id AND p.id = a.patient_id
LEFT JOIN app_user u ON u.tenant_id = a.tenant_id AND u.id = a.acknowledged_by
LEFT JOIN app_user c ON c.tenant_id = a.tenant_id AND c.id = a.closed_by
WHERE a.tenant_id = :tenant_id AND (a.closed_at IS NULL) = :is_open
  AND (CAST(:patient_id AS bigint) IS NULL OR a.patient_id = :patient_id)
  AND (CAST(:alert_id AS bigint) IS NULL OR a.id = :alert_id)
ORDER BY a.level = 'critical' DESC, (a.acknowledged_at IS NULL) DESC, a.opened_at DESC, a.id DESC
LIMIT :limit OFFSET :offset
""")


def list_alerts(
    session: Session,
    tenant_id: int,
    *,
    is_open: bool = True,
    patient_id: int | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[Sequence[Any], int]:
    """Alerts with their patients, the critical and unacknowledged first; and how many there are."""
    values = {"tenant_id": tenant_id, "is_open": is_open, "patient_id": patient_id, "alert_id": None}
    rows = session.execute(ROWS, values | {"limit": limit, "offset": offset}).all()
    wanted = select(func.count()).where(Alert.tenant_id == tenant_id, Alert.closed_at.is_(None) == is_open)
    if patient_id is not None:
        wanted = wanted.where(Alert.patient_id == patient_id)
    return rows, session.scalar(wanted) or 0


def get_row(session: Session, tenant_id: int, alert_id: int) -> Any:
    """One alert with its patient; NotFoundError."""
    alert = get_alert(session, tenant_id, alert_id)
    values = {"tenant_id": tenant_id, "is_open": alert.closed_at is None, "patient_id": None, "alert_id": alert_id}
    return session.execute(ROWS, values | {"limit": 1, "offset": 0}).one()


def get_alert(session: Session, tenant_id: int, alert_id: int, *, lock: bool = False) -> Alert:
    """One alert; NotFoundError. With `lock` nobody else acts on it until the transaction ends."""
    wanted = select(Alert).where(Alert.tenant_id == tenant_id, Alert.id == alert_id)
    if lock:
        wanted = wanted.with_for_update()
    alert = session.scalar(wanted.execution_options(populate_existing=True))
    if alert is None:
        raise NotFoundError(f"no alert {alert_id}", resource="alert", resource_id=alert_id)
    return alert


def story(session: Session, tenant_id: int, alert_id: int) -> Sequence[AlertEvent]:
    """Everything that happened to it, in order: who was told when, what the patient answered, who took it."""
    wanted = select(AlertEvent).where(AlertEvent.tenant_id == tenant_id, AlertEvent.alert_id == alert_id)
    return session.scalars(wanted.order_by(AlertEvent.id)).all()


def acknowledge(
    session: Session, tenant_id: int, actor: Actor, alert_id: int, given: AcknowledgeIn, *, user_id: int
) -> Alert:
    """Somebody takes it over, and reads back what they were told: the ladder stops. ConflictError when it is over."""
    alert = _for_change(session, tenant_id, alert_id, given.version)
    if alert.acknowledged_at is not None:
        raise ConflictError("it was acknowledged already")
    alert.acknowledged_at, alert.acknowledged_by, alert.read_back = utc_now(), user_id, given.read_back
    alert.next_step_at = None
    _note(session, alert, actor, "acknowledged", {"read_back": given.read_back}, user_id)
    return alert


def close(session: Session, tenant_id: int, actor: Actor, alert_id: int, given: CloseIn, *, user_id: int) -> Alert:
    """Somebody ends it, with a reason; a newer abnormal reading opens the next one."""
    alert = _for_change(session, tenant_id, alert_id, given.version)
    alert.closed_at, alert.closed_by, alert.ending = utc_now(), user_id, "closed"
    alert.next_step_at = None
    _note(session, alert, actor, "closed", {"reason": given.reason}, user_id)
    return alert


def _for_change(session: Session, tenant_id: int, alert_id: int, version: int) -> Alert:
    alert = get_alert(session, tenant_id, alert_id, lock=True)
    if alert.closed_at is not None:
        raise ConflictError(f"alert {alert_id} is over already")
    refuse_stale(seen=version, present=alert.version, what=f"alert {alert_id}")
    alert.version += 1
    return alert


def _note(session: Session, alert: Alert, actor: Actor, name: str, detail: dict[str, Any], user_id: int) -> None:
    one = Happened(alert.id, utc_now(), name, alert.level, alert.round, user_id=user_id, detail=detail)
    write_down(session, alert.tenant_id, actor, [one])
