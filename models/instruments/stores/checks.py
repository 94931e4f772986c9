"""Status checks of instruments: the history that uptime is counted from, and the latest one beside the instrument."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from models.instruments.tables import EquipmentCheck
from models.kernel.audit import Action, Actor, record_many

ONLINE = "online"


@dataclass(frozen=True, slots=True)
class Check:
    """What one status check found. `status` is the instrument's word, or why it said none."""

    equipment_id: int
    checked_at: datetime
    status: str
    queue_length: int | None = None
    last_calibration_at: datetime | None = None
    latency_milliseconds: int | None = None

    @property
    def is_online(self) -> bool:
        """Whether the instrument says that it can work."""
        return self.status.lower() == ONLINE


CHECKABLE = text("""
SELECT id FROM equipment
WHERE tenant_id = :tenant_id AND status <> 'inactive' AND COALESCE(api_endpoint, '') <> ''
  AND (CAST(:equipment_id AS bigint) IS NULL OR id = :equipment_id)
ORDER BY id
""")
# What an instrument that does not answer last said of its calibration stays true.
LATEST = text("""
UPDATE equipment e SET checked_at = x.checked_at, is_online = x.is_online, queue_length = x.queue_length,
       last_calibration_at = COALESCE(x.last_calibration_at, e.last_calibration_at)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x(equipment_id bigint, checked_at timestamptz, is_online boolean,
     queue_length bigint, last_calibration_at timestamptz),
     (SELECT id, is_online FROM equipment WHERE tenant_id = :tenant_id AND id = ANY(:ids) ORDER BY id FOR UPDATE) was
WHERE e.tenant_id = :tenant_id AND e.id = x.equipment_id AND was.id = e.id
  AND (e.checked_at IS NULL OR e.checked_at <= x.checked_at)
RETURNING e.id, was.is_online AS was_online, e.is_online
""")


def checkable_equipment(session: Session, tenant_id: int, equipment_id: int | None = None) -> list[int]:
    """The instruments with an endpoint that are not inactive."""
    return list(session.scalars(CHECKABLE, {"tenant_id": tenant_id, "equipment_id": equipment_id}))


def record_checks(session: Session, tenant_id: int, actor: Actor, checks: Sequence[Check]) -> None:
    """Add to the history, bring the instruments up to date, and audit each that went offline or came back."""
    rows = [_row(tenant_id, check) for check in checks]
    session.execute(insert(EquipmentCheck), rows)
    values = {
        "tenant_id": tenant_id,
        "ids": [check.equipment_id for check in checks],
        "rows": json.dumps(rows, default=datetime.isoformat),
    }
    changed = [row for row in session.execute(LATEST, values) if row.was_online is not row.is_online]
    actions = [
        Action(
            "equipment.online" if row.is_online else "equipment.offline",
            "equipment",
            row.id,
            {"is_online": [row.was_online, row.is_online]},
        )
        for row in changed
    ]
    record_many(session, tenant_id, actor, actions)


def _row(tenant_id: int, check: Check) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "equipment_id": check.equipment_id,
        "checked_at": check.checked_at,
        "is_online": check.is_online,
        "status": check.status,
        "queue_length": check.queue_length,
        "last_calibration_at": check.last_calibration_at,
        "latency_milliseconds": check.latency_milliseconds,
    }
