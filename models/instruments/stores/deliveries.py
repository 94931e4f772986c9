"""Submissions that are under way: ordering one, and ending those an assignment no longer needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from models.instruments.rules import PRIORITIES
from models.kernel.errors import ConflictError
from models.kernel.outbox import Event, Route, publish_many
from models.kernel.tables import Delivery

ORDERED = "assignment.ordered"

# Found through their events, which are indexed by entity; an index on deliveries would be written with every send.
OF_THESE = """
d.tenant_id = :tenant_id AND starts_with(d.destination, 'instrument:') AND d.event_id IN (
    SELECT e.id FROM outbox_event e WHERE e.tenant_id = :tenant_id AND e.entity = ANY(:entities))
"""


def _about(head: str, tail: str) -> TextClause:
    """A statement about the submissions of some assignments."""
    return text(f"{head} WHERE {OF_THESE} AND {tail}")


WAS_SENT = text("""
SELECT s.id FROM outbox_event e CROSS JOIN LATERAL (
    SELECT d.id FROM delivery d
    WHERE d.tenant_id = e.tenant_id AND d.event_id = e.id
      AND starts_with(d.destination, 'instrument:') AND d.sent_body IS NOT NULL OFFSET 0
) s
WHERE e.tenant_id = :tenant_id AND e.entity = ANY(:entities) AND e.payload->>'request_id' = :request_id
""")
TO_ONE = "d.destination = :destination"
LOCK = _about("SELECT d.id FROM delivery d", "d.state NOT IN ('done', 'skipped') ORDER BY d.id FOR UPDATE")
IN_FLIGHT = _about("SELECT d.entity FROM delivery d", "d.state = 'leased' AND d.sent_at IS NOT NULL LIMIT 1")
SKIP = _about(
    "UPDATE delivery d SET state = 'skipped', last_answer = :reason, lease_owner = NULL, leased_until = NULL",
    "(d.state IN ('due', 'unknown', 'dead') OR d.state = 'leased' AND d.sent_at IS NULL)",
)
LAST = _about("SELECT d.id FROM delivery d", f"{TO_ONE} ORDER BY d.id DESC LIMIT 1 FOR UPDATE")
DUE_NOW = _about("UPDATE delivery d SET next_attempt_at = now()", f"{TO_ONE} AND d.state = 'due'")
UNDER_WAY = _about("SELECT count(*) FROM delivery d", f"{TO_ONE} AND d.state IN ('due', 'leased')")


@dataclass(frozen=True, slots=True)
class Order:
    """One run of an assignment on an instrument."""

    assignment_id: int
    equipment_id: int
    run_number: int
    request_id: str
    priority: str


def entity(assignment_id: int) -> str:
    """The outbox's name of an assignment."""
    return f"assignment:{assignment_id}"


def destination(equipment_id: int) -> str:
    """The outbox's name of an instrument."""
    return f"instrument:{equipment_id}"


def publish_orders(session: Session, tenant_id: int, orders: Sequence[Order]) -> None:
    """One event and one delivery per order, written with the change that caused it."""
    publish_many(
        session,
        tenant_id,
        [
            Event(
                ORDERED,
                entity(order.assignment_id),
                {
                    "assignment_id": order.assignment_id,
                    "run_number": order.run_number,
                    "request_id": order.request_id,
                },
                (Route(destination(order.equipment_id), PRIORITIES[order.priority]),),
            )
            for order in orders
        ],
    )


def lock_open(session: Session, tenant_id: int, assignment_ids: Iterable[int]) -> None:
    """Lock what is not settled about these. Always before the assignments themselves: an answer comes in that order."""
    entities = [entity(one) for one in assignment_ids]
    if entities:
        session.execute(LOCK, {"tenant_id": tenant_id, "entities": entities})


def refuse_in_flight(session: Session, tenant_id: int, assignment_ids: Iterable[int]) -> None:
    """ConflictError while a request about one of these is on its way: its answer decides what is possible."""
    entities = [entity(one) for one in assignment_ids]
    under_way = session.scalar(IN_FLIGHT, {"tenant_id": tenant_id, "entities": entities})
    if under_way is not None:
        number = under_way.partition(":")[2]
        raise ConflictError(f"assignment {number} is being sent at this moment; try again when it is queued")


def skip_open(session: Session, tenant_id: int, assignment_ids: Iterable[int], *, reason: str) -> None:
    """End every submission of these that has not gone out or has no certain outcome; those in flight are left."""
    entities = [entity(one) for one in assignment_ids]
    session.execute(SKIP, {"tenant_id": tenant_id, "entities": entities, "reason": f"skipped: {reason}"})


def last_delivery(session: Session, tenant_id: int, assignment_id: int, equipment_id: int | None) -> Delivery | None:
    """The newest submission of an assignment to an instrument, locked; None where there is none."""
    values = _one(tenant_id, assignment_id, equipment_id or 0)
    found = session.scalar(LAST, values)
    return None if found is None else session.get_one(Delivery, (tenant_id, found), populate_existing=True)


def was_sent(session: Session, tenant_id: int, assignment_id: int, request_id: str) -> bool:
    """Whether any instrument was ever asked under this request id."""
    values = {"tenant_id": tenant_id, "entities": [entity(assignment_id)], "request_id": request_id}
    return session.scalar(WAS_SENT, values) is not None


def hurry(session: Session, tenant_id: int, assignment_id: int, equipment_id: int) -> bool:
    """Make an open submission due at once; whether there is one at all."""
    values = _one(tenant_id, assignment_id, equipment_id)
    session.execute(DUE_NOW, values)
    return bool(session.scalar(UNDER_WAY, values))


def _one(tenant_id: int, assignment_id: int, equipment_id: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "entities": [entity(assignment_id)],
        "destination": destination(equipment_id),
    }
