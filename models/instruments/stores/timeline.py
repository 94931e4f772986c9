"""Everything that happened to one assignment, in one order of time. Reads alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments.stores.deliveries import entity

MOST_SHOWN = 20_000
"""Bytes of a raw message that a page shows; the rest stays in the database."""
SAID_ELSEWHERE = ("assignment.verify", "assignment.comment", "assignment.read")
"""Audited actions that the timeline shows from their own rows, which say more."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened: `kind` is audit, submission, message, held, result, verification or comment."""

    at: datetime
    kind: str
    who: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)


AUDITED = text("""
SELECT occurred_at AS at, actor_label AS who, actor_kind, action, changes, id FROM audit_event
WHERE tenant_id = :tenant_id AND resource_type = 'assignment' AND resource_id = :text_id
  AND action <> ALL(:elsewhere) ORDER BY id
""")
SUBMITTED = text("""
SELECT COALESCE(d.answered_at, d.sent_at, d.created_at) AS at, d.id, d.state, d.attempts, d.last_answer,
       d.sent_at, d.answered_at, d.next_attempt_at, e.name AS instrument, o.payload->>'request_id' AS request_id
FROM delivery d
JOIN outbox_event o ON o.tenant_id = d.tenant_id AND o.id = d.event_id
LEFT JOIN equipment e ON e.tenant_id = d.tenant_id AND d.destination = 'instrument:' || e.id
WHERE o.tenant_id = :tenant_id AND o.entity = :entity AND starts_with(d.destination, 'instrument:') ORDER BY d.id
""")
RECEIVED = text("""
SELECT m.received_at AS at, m.id, m.kind AS door, m.run_number, octet_length(m.body) AS size,
       substring(m.body FROM 1 FOR :most) AS body, m.processed_at, e.name AS instrument
FROM instrument_message m
LEFT JOIN equipment e ON e.tenant_id = m.tenant_id AND e.id = m.equipment_id
WHERE m.tenant_id = :tenant_id AND m.assignment_id = :id ORDER BY m.id
""")
HELD = text("""
SELECT h.held_at AS at, h.id, h.message_id, h.violations, h.state, h.reason, h.resolved_at, u.name AS resolved_by
FROM held_result h
LEFT JOIN app_user u ON u.tenant_id = h.tenant_id AND u.id = h.resolved_by
WHERE h.tenant_id = :tenant_id AND h.assignment_id = :id ORDER BY h.id
""")
RESULTS = text("""
SELECT r.created_at AS at, u.name AS who, r.version, r.run_number, r.source, r.raw_value, r.unit, r.flag, r.reason,
       r.remarks, r.is_current
FROM result r
LEFT JOIN app_user u ON u.tenant_id = r.tenant_id AND u.id = r.entered_by
WHERE r.tenant_id = :tenant_id AND r.assignment_id = :id ORDER BY r.id
""")
VERIFIED = text("""
SELECT v.verified_at AS at, u.name AS who, v.level, v.note, r.version
FROM verification v
JOIN result r ON r.tenant_id = v.tenant_id AND r.id = v.result_id
LEFT JOIN app_user u ON u.tenant_id = v.tenant_id AND u.id = v.user_id
WHERE v.tenant_id = :tenant_id AND r.assignment_id = :id ORDER BY v.id
""")
COMMENTED = text("""
SELECT c.created_at AS at, u.name AS who, c.body
FROM assignment_comment c
LEFT JOIN app_user u ON u.tenant_id = c.tenant_id AND u.id = c.user_id
WHERE c.tenant_id = :tenant_id AND c.assignment_id = :id ORDER BY c.id
""")
SOURCES = (
    ("audit", AUDITED),
    ("submission", SUBMITTED),
    ("message", RECEIVED),
    ("held", HELD),
    ("result", RESULTS),
    ("verification", VERIFIED),
    ("comment", COMMENTED),
)


def read_timeline(session: Session, tenant_id: int, assignment_id: int) -> list[TimelineEntry]:
    """What happened to the assignment, oldest first; empty when the tenant has no such one."""
    values = {
        "tenant_id": tenant_id,
        "id": assignment_id,
        "text_id": str(assignment_id),
        "entity": entity(assignment_id),
        "most": MOST_SHOWN,
        "elsewhere": list(SAID_ELSEWHERE),
    }
    return sorted(_entries(session, values), key=lambda entry: entry.at)


def _entries(session: Session, values: Mapping[str, Any]) -> Iterator[TimelineEntry]:
    for kind, statement in SOURCES:
        for row in session.execute(statement, values).mappings():
            facts = {name: _shown(value) for name, value in row.items() if name not in ("at", "who")}
            yield TimelineEntry(row["at"], kind, row.get("who"), facts)


def _shown(value: object) -> object:
    """Raw bytes as text, with a mark where they are not UTF-8; everything else as it is."""
    return bytes(value).decode("utf-8", errors="replace") if isinstance(value, bytes | memoryview) else value
