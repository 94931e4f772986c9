"""What happens to alerts, written down: an event for the alert's own story, an audit row, mails by the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from models.alerts.tables import AlertEvent
from models.kernel.audit import Action, Actor, record_many
from models.kernel.outbox import Event, publish_many


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that happened. `detail` names roles, people and reasons; never a value of a patient's."""

    alert_id: int
    at: datetime
    name: str
    level: str
    round: int = 0
    step: int | None = None
    vital_sign_id: int | None = None
    user_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def write_down(
    session: Session, tenant_id: int, actor: Actor, happened: Sequence[Happened], mails: Sequence[Event] = ()
) -> None:
    """Events, audit rows and mails, in a few statements for all of them."""
    if not happened:
        return
    rows = [
        {
            "tenant_id": tenant_id,
            "alert_id": one.alert_id,
            "at": one.at,
            "name": one.name,
            "level": one.level,
            "round": one.round,
            "step": one.step,
            "vital_sign_id": one.vital_sign_id,
            "user_id": one.user_id,
            "detail": one.detail,
        }
        for one in happened
    ]
    session.flush()
    session.execute(insert(AlertEvent), rows)
    record_many(session, tenant_id, actor, [_action(one) for one in happened])
    publish_many(session, tenant_id, mails)


def _action(one: Happened) -> Action:
    told = {"level": one.level, "vital_sign_id": one.vital_sign_id, "step": one.step, **one.detail}
    return Action(f"alert.{one.name}", "alert", one.alert_id, {k: v for k, v in told.items() if v is not None})
