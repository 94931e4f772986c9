"""Mails to a tenant's own people about deliveries that wait for one of them: each told of once, one mail an hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import Event, publish_many
from models.kernel.settings import settings

PAUSE = timedelta(hours=1)
MOST_LISTED = 50
TYPE = "deliveries.dead"


@dataclass(frozen=True, slots=True)
class Told:
    """How many deliveries people were told of, by how many mails; without mails there was nobody to tell."""

    deliveries: int = 0
    mails: int = 0


TURN = text("""
INSERT INTO failure_notice AS n (tenant_id, topic, subject, mailed_at) VALUES (:tenant_id, 'deliveries', '', :now)
ON CONFLICT (tenant_id, topic, subject) DO UPDATE SET mailed_at = EXCLUDED.mailed_at
WHERE n.mailed_at <= :before RETURNING id
""")
# That a mail about dead letters is dead is not told of by mail: the run that gave it up is red, and its count is shown.
WAITING = text("""
SELECT d.id, e.type, d.destination, d.entity, d.state FROM delivery d
JOIN outbox_event e ON e.tenant_id = d.tenant_id AND e.id = d.event_id
WHERE d.tenant_id = :tenant_id AND d.state IN ('dead', 'unknown') AND d.reported_at IS NULL AND e.type <> :type
ORDER BY d.id FOR UPDATE OF d
""")
REPORTED = text("UPDATE delivery SET reported_at = :now WHERE tenant_id = :tenant_id AND id = ANY(:ids)")
# Those who may open the outbox page.
PEOPLE = text("""
SELECT email FROM app_user
WHERE tenant_id = :tenant_id AND is_active AND roles && ARRAY['supervisor', 'administrator'] ORDER BY email
""")


def report_dead(session: Session, tenant_id: int, *, now: datetime, besides: Sequence[str] = ()) -> Told:
    """Mail supervisors and administrators what became dead or unknown since they were last told.

    Where a tenant has neither, `besides` are told. Where nobody can be, everything stays to be told.
    """
    rows = session.execute(WAITING, {"tenant_id": tenant_id, "type": TYPE}).all()
    values = {"tenant_id": tenant_id, "now": now, "before": now - PAUSE}
    if not rows or session.scalar(TURN, values) is None:
        return Told()
    to = list(session.scalars(PEOPLE, values)) or list(besides)
    if not to:
        return Told(len(rows))
    session.execute(REPORTED, values | {"ids": [row.id for row in rows]})
    publish_many(session, tenant_id, [_event(tenant_id, address, rows) for address in to])
    return Told(len(rows), len(to))


def _event(tenant_id: int, address: str, rows: Sequence[Any]) -> Event:
    """One mail to each, in no order: an address that is refused delays nobody's."""
    listed = [
        {"number": row.id, "what": row.type, "destination": row.destination, "about": row.entity, "state": row.state}
        for row in rows[:MOST_LISTED]
    ]
    context = {"count": len(rows), "link": f"{settings().base_url}/outbox", "deliveries": listed}
    return mail_event(tenant_id, TYPE, "outbox", Mail("deliveries_dead", [address], context), is_ordered=False)
