"""What waits, over all tenants: figures for monitoring, without a tenant's name."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from models.kernel.clock import utc_now
from models.kernel.tenancy import registry_session

OPEN_STATES = ("due", "leased", "unknown", "dead")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deliveries that have not ended by state, the seconds the longest due one is late, audit rows not yet sealed."""

    deliveries: dict[str, int]
    late_seconds: float
    audit_unsealed: int


def load_backlog() -> Backlog:
    """The present backlog."""
    with registry_session() as session:
        rows = session.execute(text("SELECT state, number, oldest FROM registry_deliveries_by_state()")).all()
        unsealed = session.scalar(text("SELECT registry_audit_unsealed()"))
    due_since = next((row.oldest for row in rows if row.state == "due"), None)
    found = {row.state: row.number for row in rows}
    return Backlog({state: found.get(state, 0) for state in OPEN_STATES}, _late(due_since), unsealed or 0)


def _late(due_since: datetime | None) -> float:
    return max((utc_now() - due_since).total_seconds(), 0) if due_since else 0
