"""Which submissions are due at which instrument, claiming them, and what a person's replay of one means."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments.ports import QueueRequest
from models.instruments.rules import Status
from models.instruments.sending import Order, request_for
from models.instruments.stores.moves import change, lock_assignment
from models.kernel.audit import Actor
from models.kernel.errors import ConflictError
from models.kernel.outbox import LEASE_SECONDS, Leased
from models.kernel.tables import Delivery, OutboxEvent

# These statements name rows by arrays of ids and order by scalar subqueries, so that no plan made from old statistics
# reads all of a tenant's rows for each one wanted: after 20,000 orders in one go a plain join took 9 s for 1,280.
# A submission never answered is the business of submit-assignments, also when its first sender was killed; one that
# was answered with a failure is retried by retry-submissions; a chosen assignment goes at once.
DUE = """
(d.state = 'due' AND (d.next_attempt_at <= now() OR CAST(:entity AS text) IS NOT NULL)
 OR d.state = 'leased' AND d.leased_until <= now() AND d.sent_at IS NULL)
AND CASE WHEN CAST(:entity AS text) IS NOT NULL THEN d.entity = :entity
         WHEN :is_retry THEN d.attempts > 0 AND d.answered_at IS NOT NULL
         ELSE d.attempts = 0 OR d.answered_at IS NULL END
AND d.state IN ('due', 'leased')
AND d.id = (
    SELECT min(e.id) FROM delivery e
    WHERE e.tenant_id = d.tenant_id AND e.destination = d.destination AND e.entity = d.entity
      AND e.state NOT IN ('done', 'skipped'))
"""
DUE_EQUIPMENT = text(f"""
SELECT e.id FROM equipment e
WHERE e.tenant_id = :tenant_id AND e.status = 'active' AND COALESCE(e.api_endpoint, '') <> ''
  AND (CAST(:equipment_id AS bigint) IS NULL OR e.id = :equipment_id)
  AND EXISTS (SELECT FROM delivery d WHERE d.tenant_id = e.tenant_id AND d.destination = 'instrument:' || e.id
              AND {DUE})
ORDER BY e.id
""")  # noqa: S608  # DUE is a constant
CLAIM = text(f"""
WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS w(equipment_id bigint, most int)
), pick AS (
    SELECT p.id FROM wanted w CROSS JOIN LATERAL (
        SELECT d.id FROM delivery d
        WHERE d.tenant_id = :tenant_id AND d.destination = 'instrument:' || w.equipment_id AND {DUE}
        ORDER BY d.priority, d.id LIMIT w.most FOR UPDATE SKIP LOCKED
    ) p
), taken AS (
    UPDATE delivery d SET state = 'leased', lease_owner = :owner, sent_at = NULL,
           leased_until = now() + make_interval(secs => :lease_seconds)
    WHERE d.tenant_id = :tenant_id AND d.id = ANY(ARRAY(SELECT id FROM pick)) RETURNING d.*
)
SELECT t.id, t.event_id, t.destination, t.entity, t.attempts, t.sent_body, o.type,
       CAST(o.payload->>'assignment_id' AS bigint) AS assignment_id, o.payload->>'request_id' AS request_id
FROM taken t JOIN outbox_event o ON o.tenant_id = t.tenant_id AND o.id = t.event_id
ORDER BY t.priority, t.id
""")  # noqa: S608  # DUE is a constant
ORDERS = text("""
SELECT a.id, a.status, a.request_id, p.code, td.name, td.code AS test_code, a.sample_id, a.priority,
       td.specimen_type, a.department_id, a.equipment_id
FROM (SELECT * FROM assignment WHERE tenant_id = :tenant_id AND id = ANY(:ids) OFFSET 0) a
JOIN patient p ON p.tenant_id = a.tenant_id AND p.id = a.patient_id
JOIN test_definition td ON td.tenant_id = a.tenant_id AND td.id = a.test_id
""")
SKIP = text("""
UPDATE delivery SET state = 'skipped', lease_owner = NULL, leased_until = NULL,
       last_answer = 'skipped: the assignment does not wait for this submission any more'
WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND state = 'leased' AND lease_owner = :owner
""")


@dataclass(frozen=True, slots=True)
class Which:
    """Which submissions a run is about: first sends or repeated ones; all, one instrument's, or one assignment's."""

    is_retry: bool = False
    equipment_id: int | None = None
    assignment_id: int | None = None

    @property
    def is_chosen(self) -> bool:
        """Whether a row was named, whatever tenant it belongs to."""
        return self.equipment_id is not None or self.assignment_id is not None

    def as_values(self) -> dict[str, Any]:
        """As the statements take it."""
        entity = None if self.assignment_id is None else f"assignment:{self.assignment_id}"
        return {"is_retry": self.is_retry, "equipment_id": self.equipment_id, "entity": entity}


@dataclass(frozen=True, slots=True)
class Submission:
    """A claimed delivery and the request it carries: the one that was sent before, if it ever was."""

    leased: Leased
    equipment_id: int
    assignment_id: int
    request: QueueRequest


def due_equipment(session: Session, tenant_id: int, which: Which) -> list[int]:
    """The active instruments, with an endpoint, that have submissions due now."""
    return list(session.scalars(DUE_EQUIPMENT, {"tenant_id": tenant_id} | which.as_values()))


def claim_submissions(
    session: Session, tenant_id: int, which: Which, most: Mapping[int, int], *, owner: str
) -> list[Submission]:
    """Lease due submissions, up to so many per instrument, the most urgent first.

    One whose assignment was cancelled, finished or ordered anew meanwhile is skipped instead.
    """
    wanted = [{"equipment_id": equipment_id, "most": number} for equipment_id, number in most.items()]
    values: dict[str, Any] = {"tenant_id": tenant_id, "owner": owner, "lease_seconds": LEASE_SECONDS}
    rows = session.execute(CLAIM, values | which.as_values() | {"wanted": json.dumps(wanted)}).all()
    about = {"tenant_id": tenant_id, "ids": [row.assignment_id for row in rows]}
    orders = {row.id: row for row in session.execute(ORDERS, about)} if rows else {}
    pairs = [(row, orders[row.assignment_id]) for row in rows]
    unwanted = [row.id for row, order in pairs if not _is_wanted(row, order)]
    if unwanted:
        session.execute(SKIP, values | {"ids": unwanted})
    return [_submission(tenant_id, row, order) for row, order in pairs if _is_wanted(row, order)]


def _is_wanted(row: Any, order: Any) -> bool:
    """Whether the assignment still waits for just this submission."""
    is_here = row.destination == f"instrument:{order.equipment_id}"
    return bool(order.status == Status.PENDING and order.request_id == row.request_id and is_here)


def _submission(tenant_id: int, row: Any, ordered: Any) -> Submission:
    request = request_for(_order(tenant_id, ordered), None if row.sent_body is None else bytes(row.sent_body))
    leased = Leased(
        tenant_id=tenant_id,
        id=row.id,
        event_id=row.event_id,
        destination=row.destination,
        entity=row.entity,
        attempts=row.attempts,
        type=row.type,
        payload={},
        body=request.body,
    )
    return Submission(leased, ordered.equipment_id, ordered.id, request)


def order_of(session: Session, tenant_id: int, assignment_id: int) -> Order:
    """What a request about this assignment would be made of now."""
    about = {"tenant_id": tenant_id, "ids": [assignment_id]}
    return _order(tenant_id, session.execute(ORDERS, about).one())


def _order(tenant_id: int, ordered: Any) -> Order:
    return Order(
        tenant_id=tenant_id,
        assignment_id=ordered.id,
        request_id=ordered.request_id,
        patient_code=ordered.code,
        test_name=ordered.name,
        test_code=ordered.test_code,
        sample_id=ordered.sample_id,
        priority=ordered.priority,
        specimen_type=ordered.specimen_type,
        department_id=ordered.department_id,
    )


def delivery_replayed(session: Session, tenant_id: int, delivery: Delivery, actor: Actor) -> None:
    """Let the assignment wait for its replayed submission again; ConflictError where sending it would be wrong."""
    row = lock_assignment(session, tenant_id, _assignment_of(delivery))
    event = session.get(OutboxEvent, (tenant_id, delivery.event_id))
    if event is None or event.payload.get("request_id") != row.request_id:
        raise ConflictError(f"assignment {row.id} was ordered anew since; this submission is not its own any more")
    if row.status == Status.PENDING:
        return
    if row.status not in (Status.FAILED, Status.UNKNOWN) or row.queue_id is not None:
        word = Status(row.status).word
        raise ConflictError(f"assignment {row.id} is {word}; only one that did not reach its instrument is sent again")
    row.remarks = ""
    change(session, actor, row, "assignment.retry", target=Status.PENDING, changes={"delivery_id": delivery.id})


def delivery_skipped(session: Session, tenant_id: int, delivery: Delivery, actor: Actor) -> None:
    """An unknown submission that is given up leaves its assignment failed; any other is not changed by it."""
    row = lock_assignment(session, tenant_id, _assignment_of(delivery))
    if row.status == Status.UNKNOWN:
        row.remarks = "the submission was given up"
        change(session, actor, row, "assignment.fail", target=Status.FAILED, changes={"delivery_id": delivery.id})


def _assignment_of(delivery: Delivery) -> int:
    return int(delivery.entity.partition(":")[2])
