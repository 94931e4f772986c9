"""What is done with one assignment on its way to a result."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.instruments.answers import AssignmentAnswer
from api.instruments.review_routes import answer_one
from api.runs import start_fetching, start_sending
from models.instruments.inputs import (
    CancelInput,
    CorrectionInput,
    EntryInput,
    InstrumentChoice,
    RetestInput,
    UnknownInput,
)
from models.instruments.rules import Status
from models.instruments.stores import actions, entry, runs
from models.kernel.fields import Id

router = APIRouter(prefix="/assignments/{assignment_id}", tags=["assignments"], responses=errors(401, 403, 404, 409))
Technician = Annotated[Caller, Depends(may("technician", scope="assignments:write"))]
Staff = Annotated[Caller, Depends(may("technician", "verifier", scope="assignments:write"))]
Supervisor = Annotated[Caller, Depends(may("supervisor", scope="assignments:write"))]


@router.post("/send")
def send_assignment(assignment_id: Id, caller: Technician) -> AssignmentAnswer:
    """Send it to its instrument now, whatever its back-off; 409 says which of inactive, no endpoint, not pending."""
    with tenant_work(caller) as session:
        actions.send_now(session, caller.tenant_id, caller.actor, assignment_id)
        answer = answer_one(session, caller, assignment_id)
    start_sending(caller, [assignment_id])
    return answer


@router.post("/fetch")
def fetch_assignment(assignment_id: Id, caller: Technician) -> AssignmentAnswer:
    """Ask the instrument for the result now; 409 unless it is queued or in progress there."""
    with tenant_work(caller) as session:
        actions.fetch_now(session, caller.tenant_id, caller.actor, assignment_id)
        answer = answer_one(session, caller, assignment_id)
    start_fetching(caller, [assignment_id])
    return answer


@router.post("/cancel")
def cancel_assignment(assignment_id: Id, given: CancelInput, caller: Technician) -> AssignmentAnswer:
    """Give it up; 409 once it has a result, or while it is being sent."""
    with tenant_work(caller) as session:
        actions.cancel(session, caller.tenant_id, caller.actor, assignment_id, given)
        return answer_one(session, caller, assignment_id)


@router.post("/instrument")
def choose_instrument(assignment_id: Id, given: InstrumentChoice, caller: Technician) -> AssignmentAnswer:
    """Send a pending or failed assignment to this instrument; a failed one becomes a new run there."""
    with tenant_work(caller) as session:
        actions.choose_instrument(session, caller.tenant_id, caller.actor, assignment_id, given)
        answer = answer_one(session, caller, assignment_id)
    start_sending(caller, [assignment_id])
    return answer


@router.post("/resolve-unknown")
def resolve_unknown_submission(assignment_id: Id, given: UnknownInput, caller: Technician) -> AssignmentAnswer:
    """Say what was found at the instrument: nothing (it is sent again), the test under a number, or it is given up."""
    with tenant_work(caller) as session:
        runs.resolve_unknown(session, caller.tenant_id, caller.actor, assignment_id, given)
        answer = answer_one(session, caller, assignment_id)
    if answer.status == Status.PENDING:
        start_sending(caller, [assignment_id])
    return answer


@router.post("/retest")
def retest_assignment(assignment_id: Id, given: RetestInput, caller: Staff) -> AssignmentAnswer:
    """Order it anew under a new request id (a submission given up before it arrived keeps its own)."""
    with tenant_work(caller) as session:
        runs.run_again(session, caller.tenant_id, caller.actor, assignment_id, given)
        answer = answer_one(session, caller, assignment_id)
    start_sending(caller, [assignment_id])
    return answer


@router.post("/result")
def enter_result(assignment_id: Id, given: EntryInput, caller: Technician) -> AssignmentAnswer:
    """Enter a result by hand; it must be of the test's type and unit, and within its plausible limits."""
    with tenant_work(caller) as session:
        entry.enter_result(session, caller.tenant_id, caller.actor, assignment_id, given)
        return answer_one(session, caller, assignment_id)


@router.post("/correct")
def correct_result(assignment_id: Id, given: CorrectionInput, caller: Supervisor) -> AssignmentAnswer:
    """A new version of the result, to be verified anew; what was released stays visible until it is."""
    with tenant_work(caller) as session:
        entry.correct_result(session, caller.tenant_id, caller.actor, assignment_id, given)
        return answer_one(session, caller, assignment_id)
