"""Runs of an assignment: what became of a lost submission, sending again, and ordering the test anew."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.instruments import rules
from models.instruments.inputs import RetestInput, UnknownInput
from models.instruments.rules import Status
from models.instruments.sending import body_of
from models.instruments.stores import deliveries
from models.instruments.stores.moves import change, lock_assignment, set_aside_results, stop_polling, user_of
from models.instruments.stores.orders import request_id
from models.instruments.stores.submissions import order_of
from models.instruments.tables import Assignment, Equipment
from models.kernel import outbox
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, InvalidError
from models.kernel.tables import Delivery

DISCARD_HELD = text("""
UPDATE held_result SET state = 'discarded', resolved_by = :user_id, resolved_at = now(), reason = :reason
WHERE tenant_id = :tenant_id AND assignment_id = :id AND state = 'open'
""")


def resolve_unknown(
    session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: UnknownInput
) -> Assignment:
    """What a person found at the instrument: nothing (send again), the test under a number, or it is given up."""
    row = lock_assignment(session, tenant_id, assignment_id, version=given.version, with_submission=True)
    if row.status != Status.UNKNOWN:
        raise ConflictError(f"the submission is not unknown: the assignment is {Status(row.status).word}")
    if given.outcome == "cancel":
        give_up(session, actor, row, given.reason)
    elif given.outcome == "queued":
        _queued_as(session, actor, row, given)
    else:
        delivery = deliveries.last_delivery(session, tenant_id, row.id, row.equipment_id)
        if delivery is not None and delivery.state in outbox.REPLAYABLE:
            outbox.replay(session, tenant_id, delivery.id, actor=actor)
        row.remarks = ""
        change(session, actor, row, "assignment.resend", target=Status.PENDING, changes={"reason": given.reason})
        if delivery is None:
            publish_run(session, row)
    return row


def run_again(session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: RetestInput) -> Assignment:
    """Order the test anew under a new request id; results so far are kept, but count no more.

    A failed submission that never reached the instrument is sent again under its own request id instead, the same
    bytes. Where the order reads otherwise by now (a test code put right), that is a new request; but one that may have
    arrived is repeated as it was, for only then does the instrument know it again.
    """
    row = lock_assignment(session, tenant_id, assignment_id, version=given.version, with_submission=True)
    rules.move(row.status, Status.PENDING)
    if row.status == Status.UNKNOWN:
        raise ConflictError("the submission is unknown: say first what became of it at the instrument")
    deliveries.refuse_in_flight(session, tenant_id, [row.id])
    delivery = deliveries.last_delivery(session, tenant_id, row.id, row.equipment_id)
    if delivery is not None and _is_to_be_repeated(session, row, delivery):
        outbox.replay(session, tenant_id, delivery.id, actor=actor)
        row.remarks = ""
        change(session, actor, row, "assignment.retry", target=Status.PENDING, changes={"reason": given.reason})
        return row
    start_new_run(session, actor, row, given.reason)
    return row


def _is_to_be_repeated(session: Session, row: Assignment, delivery: Delivery) -> bool:
    """Whether the failed submission of a locked assignment goes again as it was, rather than as a new run."""
    if row.status != Status.FAILED or row.queue_id is not None or delivery.state != "dead":
        return False
    if delivery.sent_body is None or delivery.is_doubtful:
        return True
    return bytes(delivery.sent_body) == body_of(order_of(session, row.tenant_id, row.id))


def start_new_run(
    session: Session, actor: Actor, row: Assignment, reason: str, changes: Mapping[str, Any] | None = None
) -> None:
    """The next run of a locked assignment: fresh request id, times and submission; the versions before stay."""
    set_aside_results(session, row)
    discard_held(session, actor, row, reason)
    deliveries.skip_open(session, row.tenant_id, [row.id], reason="the test was ordered anew")
    row.run_number += 1
    row.request_id = request_id(row.id, row.run_number)
    row.queue_id = row.queue_position = row.queued_at = row.started_at = row.analyzed_at = row.verified_at = None
    row.expiry_reported_at = row.stale_acknowledged_at = row.stale_acknowledged_by = None
    row.ordered_at = utc_now()
    row.remarks = ""
    stop_polling(row)
    noted = {"reason": reason, "run_number": row.run_number, "request_id": row.request_id} | dict(changes or {})
    target = None if row.status == Status.PENDING else Status.PENDING
    change(session, actor, row, "assignment.retest", target=target, changes=noted)
    publish_run(session, row)


def give_up(session: Session, actor: Actor, row: Assignment, reason: str) -> None:
    """Cancel a locked assignment: nothing more is sent or fetched, and what is held is discarded."""
    rules.move(row.status, Status.CANCELLED)
    deliveries.refuse_in_flight(session, row.tenant_id, [row.id])
    deliveries.skip_open(session, row.tenant_id, [row.id], reason="the assignment was cancelled")
    discard_held(session, actor, row, reason)
    stop_polling(row)
    row.remarks = reason
    change(session, actor, row, "assignment.cancel", target=Status.CANCELLED, changes={"reason": reason})


def _queued_as(session: Session, actor: Actor, row: Assignment, given: UnknownInput) -> None:
    taken = select(Assignment.id).where(
        Assignment.tenant_id == row.tenant_id,
        Assignment.equipment_id == row.equipment_id,
        Assignment.queue_id == given.queue_id,
    )
    other = session.scalar(taken)
    if other is not None and other != row.id:
        raise InvalidError(f"assignment {other} has this number at the instrument", field="queue_id")
    delivery = deliveries.last_delivery(session, row.tenant_id, row.id, row.equipment_id)
    if delivery is not None and delivery.state == "unknown":
        delivery.state = "done"
        delivery.last_answer = "queued, as a person found at the instrument"
    row.queue_id = given.queue_id
    row.queued_at = (delivery.sent_at if delivery else None) or utc_now()
    row.remarks = ""
    chosen = session.get(Equipment, (row.tenant_id, row.equipment_id)) if row.equipment_id is not None else None
    row.next_poll_at = utc_now() if chosen is not None and chosen.supports_auto_fetch else None
    noted = {"reason": given.reason, "queue_id": given.queue_id}
    change(session, actor, row, "assignment.queue", target=Status.QUEUED, changes=noted)


def publish_run(session: Session, row: Assignment) -> None:
    """Submit the present run, where the assignment has an instrument."""
    if row.equipment_id is not None:
        order = deliveries.Order(row.id, row.equipment_id, row.run_number, row.request_id, row.priority)
        deliveries.publish_orders(session, row.tenant_id, [order])


def discard_held(session: Session, actor: Actor, row: Assignment, reason: str) -> None:
    """Close what is held of a locked assignment."""
    values = {"tenant_id": row.tenant_id, "id": row.id, "user_id": user_of(actor), "reason": reason}
    session.execute(DISCARD_HELD, values)
