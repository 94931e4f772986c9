"""What a person does with an assignment on its way to a result: cancel, choose an instrument, send, fetch."""

from sqlalchemy.orm import Session

from models.instruments import rules
from models.instruments.inputs import CancelInput, InstrumentChoice
from models.instruments.rules import Status
from models.instruments.stores import deliveries
from models.instruments.stores.equipment import get_equipment
from models.instruments.stores.moves import change, lock_assignment
from models.instruments.stores.runs import give_up, publish_run, start_new_run
from models.instruments.tables import Assignment, Equipment
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError


def cancel(session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: CancelInput) -> Assignment:
    """Give an assignment up; ConflictError once it has a result, or while it is being sent."""
    row = lock_assignment(session, tenant_id, assignment_id, version=given.version, with_submission=True)
    give_up(session, actor, row, given.reason)
    return row


def choose_instrument(
    session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: InstrumentChoice
) -> Assignment:
    """Send a pending or failed assignment to this instrument instead; once anything went out, as a new run there.

    What went out may yet come back from the first instrument: under the same request id it would pass for the second's.
    """
    row = lock_assignment(session, tenant_id, assignment_id, version=given.version, with_submission=True)
    if row.status not in (Status.PENDING, Status.FAILED):
        word = Status(row.status).word
        raise ConflictError(f"the assignment is {word}: its instrument can be changed while it is pending or failed")
    chosen = get_equipment(session, tenant_id, given.equipment_id, field="equipment_id")
    if row.equipment_id == chosen.id:
        raise ConflictError(f"instrument {chosen.id} is the assignment's instrument already", field="equipment_id")
    deliveries.refuse_in_flight(session, tenant_id, [row.id])
    was_sent = deliveries.was_sent(session, tenant_id, row.id, row.request_id)
    deliveries.skip_open(session, tenant_id, [row.id], reason="another instrument was chosen")
    noted = {"equipment_id": [row.equipment_id, chosen.id]}
    row.equipment_id = chosen.id
    row.department_id = row.department_id or chosen.department_id
    if row.status == Status.FAILED or was_sent:
        start_new_run(session, actor, row, "another instrument was chosen", noted)
    else:
        change(session, actor, row, "assignment.choose_instrument", changes=noted)
        publish_run(session, row)
    return row


def send_now(session: Session, tenant_id: int, actor: Actor, assignment_id: int) -> Assignment:
    """Make a pending assignment due at once, whatever its back-off; ConflictError says why it cannot be sent."""
    row = lock_assignment(session, tenant_id, assignment_id, with_submission=True)
    chosen = session.get(Equipment, (tenant_id, row.equipment_id)) if row.equipment_id is not None else None
    reasons = rules.reasons_not_to_send(
        row.status, chosen.status if chosen else None, chosen.api_endpoint if chosen else None
    )
    if reasons or chosen is None:
        raise ConflictError(f"cannot send assignment {assignment_id} to an instrument: {'; '.join(reasons)}")
    if not deliveries.hurry(session, tenant_id, row.id, chosen.id):
        publish_run(session, row)
    change(session, actor, row, "assignment.send")
    return row


def fetch_now(session: Session, tenant_id: int, actor: Actor, assignment_id: int) -> Assignment:
    """Ask the instrument for the result at once; ConflictError unless it is queued or in progress there."""
    row = lock_assignment(session, tenant_id, assignment_id)
    if row.status not in (Status.QUEUED, Status.IN_PROGRESS):
        raise ConflictError(f"nothing to fetch: the assignment is {Status(row.status).word}, not queued or in progress")
    row.next_poll_at = utc_now()
    change(session, actor, row, "assignment.fetch")
    return row
