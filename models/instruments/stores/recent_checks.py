"""When an instrument was away: its status checks gathered into outages. Reads alone."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.kernel.clock import utc_now


@dataclass(frozen=True, slots=True)
class Outage:
    """A row of checks without an answer. `ended_at` is the first good check after it, None while it lasts."""

    began_at: datetime
    ended_at: datetime | None
    checks: int
    status: str


# Checks of one state in a row share the difference of two row numbers.
OUTAGES = text("""
WITH checks AS (
    SELECT checked_at, is_online, status, lead(checked_at) OVER moments AS next_at,
           row_number() OVER moments - row_number() OVER (PARTITION BY is_online ORDER BY checked_at, id) AS run
    FROM equipment_check
    WHERE tenant_id = :tenant_id AND equipment_id = :id AND checked_at > :since
    WINDOW moments AS (ORDER BY checked_at, id)
), gathered AS (
    SELECT min(checked_at) AS began_at, count(*) AS checks, (array_agg(status ORDER BY checked_at))[1] AS status,
           (array_agg(next_at ORDER BY checked_at DESC))[1] AS next_at
    FROM checks WHERE NOT is_online GROUP BY run
)
SELECT began_at, next_at, checks, status FROM gathered ORDER BY began_at DESC LIMIT :most
""")


def list_outages(session: Session, tenant_id: int, equipment_id: int, *, days: int = 7, most: int = 10) -> list[Outage]:
    """The latest outages of the last `days`, the newest first."""
    values = {"tenant_id": tenant_id, "id": equipment_id, "since": utc_now() - timedelta(days=days), "most": most}
    return [Outage(*row) for row in session.execute(OUTAGES, values)]
