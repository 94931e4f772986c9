"""Release of verified results: from then on doctors see them, and the patient is told where they want it."""

from sqlalchemy.orm import Session

from models.instruments.inputs import ReleaseInput, ReleaseManyInput, SeenAssignment
from models.instruments.rules import Status, move
from models.instruments.stores.deliveries import entity
from models.instruments.stores.moves import change, current_result, lock_assignment, user_of
from models.instruments.stores.verification import RowOutcome, for_each
from models.instruments.tables import Assignment, Result
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import Event, publish
from models.people.tables import Patient

RELEASED = "assignment.released"


def release(session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: ReleaseInput) -> Assignment:
    """The verified version of the result becomes the one doctors see; the event goes out in the same transaction."""
    row = lock_assignment(session, tenant_id, assignment_id, version=given.version)
    result = current_result(session, row)
    move(row.status, Status.RELEASED)
    if result is None:
        raise ConflictError(f"assignment {assignment_id} has no result to release")
    now = utc_now()
    is_correction = row.released_at is not None
    row.released_at = result.released_at = now
    result.released_by = user_of(actor)
    noted = {"result_version": result.version, "is_correction": is_correction}
    change(session, actor, row, "assignment.release", target=Status.RELEASED, changes=noted)
    publish(session, tenant_id, _event(session, row, result))
    return row


def release_many(session: Session, tenant_id: int, actor: Actor, given: ReleaseManyInput) -> list[RowOutcome]:
    """Release each that can be, and say why not of each that cannot; in the order given."""

    def one(seen: SeenAssignment) -> Assignment:
        return release(session, tenant_id, actor, seen.assignment_id, ReleaseInput(version=seen.version))

    return for_each(given.assignments, one)


def _event(session: Session, row: Assignment, result: Result) -> Event:
    patient = session.get_one(Patient, (row.tenant_id, row.patient_id))
    while patient.merged_into_id is not None:  # what the remaining record says about mail is what counts
        patient = session.get_one(Patient, (row.tenant_id, patient.merged_into_id))
    if patient.email is None or not patient.is_report_mailed:
        payload = {"assignment_id": row.id, "result_version": result.version}
        return Event(RELEASED, entity(row.id), payload, [])
    name = f"{patient.given_names} {patient.family_name}".strip()
    mail = Mail("report_ready", [patient.email], {"patient_name": name, "request_id": row.request_id})
    return mail_event(row.tenant_id, RELEASED, entity(row.id), mail)
