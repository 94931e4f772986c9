"""Held results: which there are, what was received, and what a person decides."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.instruments.answers import HeldAnswer, HeldDetailAnswer, HeldPage
from api.runs import start_checking, start_fetching, start_sending
from models.instruments.inputs import HeldInput, MatchInput
from models.instruments.stores import held
from models.instruments.tables import Assignment
from models.kernel.fields import Id
from models.people.stores.reads import note_read

router = APIRouter(prefix="/held", tags=["held results"])
Reader = Annotated[Caller, Depends(may("technician", "verifier", scope="assignments:read"))]
Supervisor = Annotated[Caller, Depends(may("supervisor", scope="assignments:write"))]
State = Literal["open", "released", "corrected", "refetched", "discarded"]


@router.get("", responses=errors(401, 403))
def list_held_results(
    caller: Reader,
    state: State = "open",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    size: Annotated[int, Query(ge=1, le=100)] = 50,
) -> HeldPage:
    """Held results in a state, the newest first, with the rules that hold them."""
    with tenant_work(caller) as session:
        rows, total = held.list_held(session, caller.tenant_id, state=state, limit=size, offset=(page - 1) * size)
        items = [HeldAnswer.model_validate(row) for row in rows]
    return HeldPage(items=items, total=total, page=page, size=size)


@router.get("/{held_id}", responses=errors(401, 403, 404))
def get_held_result(held_id: Id, caller: Reader) -> HeldDetailAnswer:
    """One held result with what was received. The reading is noted."""
    with tenant_work(caller) as session:
        row = held.get_held(session, caller.tenant_id, held_id)
        message = held.get_message(session, row)
        if row.assignment_id is not None:
            assignment = session.get_one(Assignment, (caller.tenant_id, row.assignment_id))
            note_read(session, caller.tenant_id, caller.actor, [assignment.patient_id])
        return HeldDetailAnswer(
            **HeldAnswer.model_validate(row).model_dump(),
            received_at=message.received_at,
            body=message.body.decode(errors="backslashreplace"),
        )


@router.post("/{held_id}/resolve", responses=errors(401, 403, 404, 409))
def resolve_held_result(held_id: Id, given: HeldInput, caller: Supervisor) -> HeldAnswer:
    """Let it through as it is, correct it, fetch it again, or discard it and run the test again; with a reason."""
    with tenant_work(caller) as session:
        row = held.resolve_held(session, caller.tenant_id, caller.actor, held_id, given)
        answer = HeldAnswer.model_validate(row)
    if answer.assignment_id is not None and given.action == "refetch":
        start_fetching(caller, [answer.assignment_id])
    if answer.assignment_id is not None and given.action == "discard":
        start_sending(caller, [answer.assignment_id])
    return answer


@router.post("/{held_id}/match", responses=errors(401, 403, 404, 409))
def match_held_result(held_id: Id, given: MatchInput, caller: Supervisor) -> HeldAnswer:
    """Say to which assignment an unmatched result belongs; it is then checked by the same rules as any other."""
    with tenant_work(caller) as session:
        answer = HeldAnswer.model_validate(held.match_held(session, caller.tenant_id, caller.actor, held_id, given))
    start_checking(caller)
    return answer
