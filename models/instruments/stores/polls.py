"""Which results are to be fetched from which instrument, and leases on them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

LEASE_SECONDS = 120

# A chosen assignment or instrument is asked at once, and once per run, whether it is due or not.
DUE = """
a.status IN ('Q', 'I') AND a.queue_id IS NOT NULL
AND (a.poll_leased_until IS NULL OR a.poll_leased_until <= now())
AND CASE WHEN :is_chosen THEN a.last_polled_at IS NULL OR a.last_polled_at < :started_at
         ELSE a.next_poll_at <= now() END
AND (CAST(:assignment_id AS bigint) IS NULL OR a.id = :assignment_id)
AND NOT EXISTS (SELECT FROM instrument_message m WHERE m.tenant_id = a.tenant_id
                AND m.equipment_id = a.equipment_id AND m.assignment_id = a.id AND m.run_number = a.run_number
                AND m.processed_at IS NULL)
"""
DUE_EQUIPMENT = text(f"""
SELECT e.id FROM equipment e
WHERE e.tenant_id = :tenant_id AND e.status <> 'inactive' AND COALESCE(e.api_endpoint, '') <> ''
  AND (CAST(:equipment_id AS bigint) IS NULL OR e.id = :equipment_id)
  AND EXISTS (SELECT FROM assignment a WHERE a.tenant_id = e.tenant_id AND a.equipment_id = e.id AND {DUE})
ORDER BY e.id
""")  # noqa: S608  # DUE is a constant
CLAIM = text(f"""
WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS w(equipment_id bigint, most int)
), pick AS (
    SELECT p.id FROM wanted w CROSS JOIN LATERAL (
        SELECT a.id FROM assignment a
        WHERE a.tenant_id = :tenant_id AND a.equipment_id = w.equipment_id AND {DUE}
        ORDER BY a.next_poll_at, a.id LIMIT w.most FOR UPDATE SKIP LOCKED
    ) p
)
UPDATE assignment a SET poll_lease_owner = :owner, poll_leased_until = now() + make_interval(secs => :lease_seconds)
FROM equipment e
WHERE a.tenant_id = :tenant_id AND a.id = ANY(ARRAY(SELECT id FROM pick))
  AND e.tenant_id = a.tenant_id AND e.id = a.equipment_id
RETURNING a.id, a.equipment_id, a.queue_id, a.run_number, a.status, a.queued_at, e.supports_auto_fetch
""")  # noqa: S608  # DUE is a constant
RELEASE = text("""
UPDATE assignment SET poll_lease_owner = NULL, poll_leased_until = NULL
WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND poll_lease_owner = :owner
""")


@dataclass(frozen=True, slots=True)
class WhichPolls:
    """Which results a run is about: all that are due, or those of one instrument or assignment, due or not."""

    started_at: datetime
    equipment_id: int | None = None
    assignment_id: int | None = None

    @property
    def is_chosen(self) -> bool:
        """Whether a row was named, whatever tenant it belongs to."""
        return self.equipment_id is not None or self.assignment_id is not None

    def as_values(self) -> dict[str, Any]:
        """As the statements take it."""
        return {
            "is_chosen": self.is_chosen,
            "started_at": self.started_at,
            "equipment_id": self.equipment_id,
            "assignment_id": self.assignment_id,
        }


@dataclass(frozen=True, slots=True)
class Poll:
    """A leased question to an instrument: what became of `queue_id`?"""

    tenant_id: int
    assignment_id: int
    equipment_id: int
    queue_id: str
    run_number: int
    status: str
    queued_at: datetime | None
    is_asked_again: bool


def due_equipment(session: Session, tenant_id: int, which: WhichPolls) -> list[int]:
    """The instruments, those in maintenance included, that are to be asked for results now."""
    return list(session.scalars(DUE_EQUIPMENT, {"tenant_id": tenant_id} | which.as_values()))


def claim_polls(
    session: Session, tenant_id: int, which: WhichPolls, most: Mapping[int, int], *, owner: str
) -> list[Poll]:
    """Lease results to ask for, up to so many per instrument, the longest due first: nobody else asks meanwhile."""
    wanted = [{"equipment_id": equipment_id, "most": number} for equipment_id, number in most.items()]
    values = {"tenant_id": tenant_id, "owner": owner, "lease_seconds": LEASE_SECONDS, "wanted": json.dumps(wanted)}
    return [Poll(tenant_id, *row) for row in session.execute(CLAIM, values | which.as_values())]


def release_polls(session: Session, tenant_id: int, assignment_ids: Sequence[int], *, owner: str) -> None:
    """Give leases back unasked."""
    session.execute(RELEASE, {"tenant_id": tenant_id, "ids": list(assignment_ids), "owner": owner})
