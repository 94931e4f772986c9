"""Held results as a list shows them. Reads alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One held result; without an assignment it is a pushed one that fits none."""

    id: int
    assignment_id: int | None
    state: str
    violations: list[Mapping[str, Any]]
    held_at: datetime
    received_at: datetime
    door: str
    equipment_id: int
    equipment: str
    sample_id: str | None
    priority: str | None
    status: str | None
    test_name: str | None
    patient_code: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    reason: str | None


ROWS = text("""
SELECT h.id, h.assignment_id, h.state, h.violations, h.held_at, m.received_at, m.kind AS door,
       m.equipment_id, e.name AS equipment, a.sample_id, a.priority, a.status, t.name AS test_name,
       p.code AS patient_code, h.resolved_at, u.name AS resolved_by, h.reason
FROM held_result h
JOIN instrument_message m ON m.tenant_id = h.tenant_id AND m.id = h.message_id
JOIN equipment e ON e.tenant_id = m.tenant_id AND e.id = m.equipment_id
LEFT JOIN assignment a ON a.tenant_id = h.tenant_id AND a.id = h.assignment_id
LEFT JOIN test_definition t ON t.tenant_id = a.tenant_id AND t.id = a.test_id
LEFT JOIN patient p ON p.tenant_id = a.tenant_id AND p.id = a.patient_id
LEFT JOIN app_user u ON u.tenant_id = h.tenant_id AND u.id = h.resolved_by
WHERE h.tenant_id = :tenant_id AND (h.state = 'open') = :is_open
ORDER BY CASE WHEN h.state <> 'open' OR a.priority = 'stat' THEN 0 WHEN a.priority = 'urgent' THEN 1 ELSE 2 END,
         h.id DESC LIMIT :limit OFFSET :offset
""")
COUNTS = text("""
SELECT count(*) FILTER (WHERE state = 'open'), count(*) FILTER (WHERE state <> 'open')
FROM held_result WHERE tenant_id = :tenant_id
""")


def list_held_rows(
    session: Session, tenant_id: int, *, is_open: bool, limit: int = 50, offset: int = 0
) -> list[HeldRow]:
    """Those that wait for a decision, stat first, or those decided; then the newest."""
    values = {"tenant_id": tenant_id, "is_open": is_open, "limit": limit, "offset": offset}
    return [HeldRow(**row) for row in session.execute(ROWS, values).mappings()]


def count_held(session: Session, tenant_id: int) -> tuple[int, int]:
    """How many wait for a decision, and how many are decided."""
    row = session.execute(COUNTS, {"tenant_id": tenant_id}).one()
    return row[0], row[1]
