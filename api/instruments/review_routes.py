"""Verification and release, one or many at once, and stale assignments somebody has taken note of."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from api.deps import Caller, may, note_foreign, tenant_work
from api.errors import errors
from api.instruments.answers import AcknowledgedAnswer, AssignmentAnswer, OutcomeAnswer, OutcomesAnswer
from api.runs import start_delivering
from models.instruments.inputs import AcknowledgeInput, ReleaseInput, ReleaseManyInput, VerifyInput, VerifyManyInput
from models.instruments.stores import comments, release, verification, worklist
from models.instruments.stores.verification import RowOutcome
from models.kernel.fields import Id

router = APIRouter(prefix="/assignments", tags=["assignments"])
Verifier = Annotated[Caller, Depends(may("verifier", scope="assignments:write"))]
Staff = Annotated[Caller, Depends(may("technician", "verifier", scope="assignments:write"))]


@router.post("/verify", responses=errors(401, 403))
def verify_many_assignments(given: VerifyManyInput, caller: Verifier) -> OutcomesAnswer:
    """One level of verification for each that can have it; for each that cannot, why."""
    with tenant_work(caller) as session:
        outcomes = verification.verify_many(session, caller.tenant_id, caller.actor, given)
    return _outcomes(caller, outcomes)


@router.post("/release", responses=errors(401, 403))
def release_many_assignments(given: ReleaseManyInput, caller: Verifier) -> OutcomesAnswer:
    """Release each that is verified; for each that cannot be, why."""
    with tenant_work(caller) as session:
        outcomes = release.release_many(session, caller.tenant_id, caller.actor, given)
    start_delivering(caller)
    return _outcomes(caller, outcomes)


@router.post("/acknowledge-stale", responses=errors(401, 403, 404))
def acknowledge_stale_assignments(given: AcknowledgeInput, caller: Staff) -> AcknowledgedAnswer:
    """Somebody knows that these are late: they are not mailed again."""
    with tenant_work(caller) as session:
        ids = comments.acknowledge_stale(session, caller.tenant_id, caller.actor, given)
    return AcknowledgedAnswer(assignment_ids=ids)


@router.post("/{assignment_id}/verify", responses=errors(401, 403, 404, 409))
def verify_assignment(assignment_id: Id, given: VerifyInput, caller: Verifier) -> AssignmentAnswer:
    """One level of verification; 409 when the page was stale, 403 for who entered the value or verified it already."""
    with tenant_work(caller) as session:
        verification.verify(session, caller.tenant_id, caller.actor, assignment_id, given)
        return answer_one(session, caller, assignment_id)


@router.post("/{assignment_id}/release", responses=errors(401, 403, 404, 409))
def release_assignment(assignment_id: Id, given: ReleaseInput, caller: Verifier) -> AssignmentAnswer:
    """Release the verified result: doctors see it, and the patient is told where they want it."""
    with tenant_work(caller) as session:
        release.release(session, caller.tenant_id, caller.actor, assignment_id, given)
        answer = answer_one(session, caller, assignment_id)
    start_delivering(caller)
    return answer


def answer_one(session: Session, caller: Caller, assignment_id: int) -> AssignmentAnswer:
    """The assignment as it is now, within the transaction that changed it."""
    session.flush()
    return AssignmentAnswer.model_validate(worklist.get_row(session, caller.tenant_id, assignment_id))


def _outcomes(caller: Caller, outcomes: list[RowOutcome]) -> OutcomesAnswer:
    for one in outcomes:
        if one.kind == "not_found":
            note_foreign(caller, "assignment", one.assignment_id)
    return OutcomesAnswer(outcomes=[OutcomeAnswer.model_validate(one) for one in outcomes])
