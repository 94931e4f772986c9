"""Submissions that are under way: ordering one, and ending those an assignment no longer needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments.rules import PRIORITIES
from models.kernel.errors import ConflictError
from models.kernel.outbox import Event, Route, publish_many

ORDERED = "assignment.ordered"

LOCK = text("""
SELECT id FROM delivery WHERE tenant_id = :tenant_id AND entity = ANY(:entities)
AND starts_with(destination, 'instrument:') AND state NOT IN ('done', 'skipped') ORDER BY id FOR UPDATE
""")
IN_FLIGHT = text("""
SELECT entity FROM delivery WHERE tenant_id = :tenant_id AND entity = ANY(:entities)
AND starts_with(destination, 'instrument:') AND state = 'leased' AND sent_at IS NOT NULL LIMIT 1
""")
SKIP = text("""
UPDATE delivery SET state = 'skipped', last_answer = :reason, lease_owner = NULL, leased_until = NULL
WHERE tenant_id = :tenant_id AND entity = ANY(:entities) AND starts_with(destination, 'instrument:')
AND (state IN ('due', 'unknown', 'dead') OR state = 'leased' AND sent_at IS NULL)
""")


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
