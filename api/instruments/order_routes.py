"""Ordering tests, and looking at what became of the orders."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from pydantic import Field
from sqlalchemy.orm import Session

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.instruments.answers import (
    AssignmentAnswer,
    AssignmentDetailAnswer,
    AssignmentPage,
    AssignmentsAnswer,
    CommentAnswer,
    PreviousAnswer,
    ReleasedAnswer,
    ResultAnswer,
    TimelineAnswer,
)
from api.runs import start_sending
from models.instruments.inputs import CommentInput, OrderInput, OrdersInput, WorklistFilter
from models.instruments.rules import Status, reasons_not_to_send
from models.instruments.stores import comments, details, orders, previous, timeline, worklist
from models.instruments.stores.worklist import WorklistRow
from models.kernel.fields import Id, Line
from models.kernel.idempotency import once
from models.people.roles import CLINICAL
from models.people.stores.patients import get_patient
from models.people.stores.reads import note_read

STAFF = ("technician", "verifier")
router = APIRouter(tags=["assignments"])
Orderer = Annotated[Caller, Depends(may("technician", "doctor", scope="assignments:write"))]
Reader = Annotated[Caller, Depends(may("technician", "verifier", "doctor", scope="assignments:read"))]
Staff = Annotated[Caller, Depends(may(*STAFF, scope="assignments:read"))]
Commenter = Annotated[Caller, Depends(may("technician", "verifier", "doctor", scope="assignments:write"))]
PatientReader = Annotated[Caller, Depends(may(*CLINICAL, scope="assignments:read"))]
IdempotencyKey = Annotated[
    str | None,
    Header(description="The same key with the same content is one order and one answer, with other content 409"),
]


@router.post("/assignments", status_code=201, responses=errors(401, 403, 404, 409))
def create_assignments(given: OrderInput, caller: Orderer, idempotency_key: IdempotencyKey = None) -> AssignmentsAnswer:
    """Order one test, or a panel: one assignment for each of its tests. They are sent without being asked again."""
    return _order(caller, [given], idempotency_key)


@router.post("/assignments/batch", status_code=201, responses=errors(401, 403, 404, 409))
def create_many_assignments(
    given: OrdersInput, caller: Orderer, idempotency_key: IdempotencyKey = None
) -> AssignmentsAnswer:
    """Order many tests at once, all or none; a field that is wrong is named `orders.<number>.<name>`."""
    return _order(caller, given.orders, idempotency_key)


class WorklistQuery(WorklistFilter):
    """The work list's filters and the page of it."""

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=50, ge=1, le=worklist.MOST_ROWS)


@router.get("/assignments", responses=errors(401, 403))
def list_assignments(caller: Reader, wanted: Annotated[WorklistQuery, Query()]) -> AssignmentPage:
    """The work list: what is to be done before what is done, stat first, then the newest."""
    page, size = wanted.page, wanted.size
    with tenant_work(caller) as session:
        rows = worklist.load_worklist(session, caller.tenant_id, wanted, limit=size, offset=(page - 1) * size)
        counts = worklist.count_by_state(session, caller.tenant_id, wanted)
        items = [_seen_by(caller, row) for row in rows]
    total = sum(count for status, count in counts.items() if not wanted.status or status in wanted.status)
    return AssignmentPage(items=items, total=total, page=page, size=size, counts=counts)


@router.get("/assignments/scan", responses=errors(401, 403))
def scan_accession(caller: Reader, code: Annotated[Line, Query(min_length=1)]) -> AssignmentsAnswer:
    """The assignments of a scanned sample, request or number, the newest first; none is an empty list."""
    with tenant_work(caller) as session:
        ids = worklist.find_accession(session, caller.tenant_id, code)
        return _answer(session, caller, ids)


@router.get("/assignments/{assignment_id}", responses=errors(401, 403, 404))
def get_assignment(assignment_id: Id, caller: Reader) -> AssignmentDetailAnswer:
    """One assignment with its patient and results; a doctor sees the released one alone. The reading is noted."""
    with tenant_work(caller) as session:
        return read_detail(session, caller, assignment_id)


@router.get("/assignments/{assignment_id}/timeline", responses=errors(401, 403, 404))
def get_assignment_timeline(assignment_id: Id, caller: Staff) -> list[TimelineAnswer]:
    """Everything that happened to an assignment, in one order of time. The reading is noted."""
    with tenant_work(caller) as session:
        row = worklist.get_row(session, caller.tenant_id, assignment_id)
        note_read(session, caller.tenant_id, caller.actor, [row.patient_id])
        entries = timeline.read_timeline(session, caller.tenant_id, assignment_id)
        return [TimelineAnswer.model_validate(entry) for entry in entries]


@router.get("/assignments/{assignment_id}/comments", responses=errors(401, 403, 404))
def list_assignment_comments(assignment_id: Id, caller: Reader) -> list[CommentAnswer]:
    """The remarks beside an assignment, oldest first."""
    with tenant_work(caller) as session:
        rows = comments.list_comments(session, caller.tenant_id, assignment_id)
        return [CommentAnswer.model_validate(row) for row in rows]


@router.post("/assignments/{assignment_id}/comments", status_code=201, responses=errors(401, 403, 404))
def add_assignment_comment(assignment_id: Id, given: CommentInput, caller: Commenter) -> CommentAnswer:
    """Write a remark beside an assignment."""
    with tenant_work(caller) as session:
        made = comments.add_comment(session, caller.tenant_id, caller.actor, assignment_id, given)
        session.refresh(made)
        return CommentAnswer.model_validate(made)


@router.get("/patients/{patient_id}/results", tags=["patients"], responses=errors(401, 403, 404))
def list_patient_results(patient_id: Id, caller: PatientReader) -> list[ReleasedAnswer]:
    """The released results of a patient, the newest first; of each its last released version. The reading is noted."""
    with tenant_work(caller) as session:
        get_patient(session, caller.tenant_id, patient_id)
        note_read(session, caller.tenant_id, caller.actor, [patient_id])
        rows = details.load_released(session, caller.tenant_id, patient_id=patient_id)
        return [ReleasedAnswer.model_validate(row) for row in rows]


def read_detail(session: Session, caller: Caller, assignment_id: int) -> AssignmentDetailAnswer:
    """One assignment for this caller; NotFoundError. The reading is noted in the same transaction."""
    row = worklist.get_row(session, caller.tenant_id, assignment_id)
    note_read(session, caller.tenant_id, caller.actor, [row.patient_id])
    released = details.load_released(session, caller.tenant_id, assignment_id=assignment_id)
    sees_all = caller.has(*STAFF)
    results = details.load_results(session, caller.tenant_id, [assignment_id])[assignment_id] if sees_all else []
    before = previous.load_previous(session, caller.tenant_id, [assignment_id]).get(assignment_id) if sees_all else None
    reasons = reasons_not_to_send(row.status, row.equipment_status, "there is one" if row.has_endpoint else None)
    return AssignmentDetailAnswer(
        **_seen_by(caller, row).model_dump(),
        family_name=row.family_name,
        given_names=row.given_names,
        cannot_send=reasons,
        results=[ResultAnswer.model_validate(one) for one in results],
        released=ReleasedAnswer.model_validate(released[0]) if released else None,
        previous=PreviousAnswer.model_validate(before) if before else None,
    )


def _order(caller: Caller, given: list[OrderInput], key: str | None) -> AssignmentsAnswer:
    """Make the orders once; then, after the commit, ask for them to be sent."""
    with tenant_work(caller) as session:

        def do() -> dict[str, Any]:
            ids = orders.order_many(session, caller.tenant_id, caller.actor, given)
            return _answer(session, caller, ids).model_dump(mode="json")

        content = [order.model_dump(mode="json") for order in given]
        scope = f"order:{caller.user_id}"
        made = do() if key is None else once(session, caller.tenant_id, scope=scope, key=key, content=content, do=do)
    answer = AssignmentsAnswer.model_validate(made)
    start_sending(caller, [row.id for row in answer.assignments if row.equipment_id is not None])
    return answer


def _answer(session: Session, caller: Caller, ids: list[int]) -> AssignmentsAnswer:
    rows = worklist.load_rows(session, caller.tenant_id, ids)
    return AssignmentsAnswer(assignments=[_seen_by(caller, row) for row in rows])


def _seen_by(caller: Caller, row: WorklistRow) -> AssignmentAnswer:
    """The row for this caller: who is only a doctor learns nothing of a result that is not released."""
    answer = AssignmentAnswer.model_validate(row)
    if caller.has(*STAFF) or row.status == Status.RELEASED:
        return answer
    return answer.model_copy(update={"flag": None, "result_version": None})
