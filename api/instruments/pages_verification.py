"""The verification queue, and what waits for release: each result beside the one before, many at once, row by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.deps import Caller, note_foreign, tenant_work
from api.forms import Form, text, whole_number
from api.instruments.deeds import Situation, problem_of
from api.instruments.pages_kit import Verifier, show
from api.runs import start_delivering
from models.instruments.catalogue_tables import TestDefinition
from models.instruments.inputs import ReleaseManyInput, SeenAssignment, VerifyManyInput, WorklistFilter
from models.instruments.stores import details, previous, worklist
from models.instruments.stores.choices import load_choices
from models.instruments.stores.details import ResultRow
from models.instruments.stores.previous import Previous
from models.instruments.stores.release import release_many
from models.instruments.stores.verification import RowOutcome, verify_many
from models.instruments.stores.worklist import WorklistRow
from models.kernel.errors import InvalidError
from models.people.stores.reads import note_read

PAGE_SIZE = 50
MOST_AT_ONCE = 200
Show = Literal["verify", "release"]
STATES: Mapping[str, str] = {"verify": "A", "release": "V"}
router = APIRouter(prefix="/verification")


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One result in the queue; `problem` is why this caller cannot do what the queue is for."""

    row: WorklistRow
    result: ResultRow
    before: Previous | None
    levels: int
    problem: str


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one row of many: the row as it is now, and the refusal where it was refused."""

    assignment_id: int
    row: WorklistRow | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Queue:
    """What the page shows."""

    show: Show
    department: int | None
    page: int
    rows: list[QueueRow]
    counts: dict[str, int]
    told: list[Told] = field(default_factory=list)

    def page_address(self, number: int) -> str:
        """The address of another page of the same queue."""
        department = f"&department={self.department}" if self.department else ""
        return f"/verification?show={self.show}&page={number}{department}"

    @property
    def refused(self) -> dict[int, str]:
        """The refusals by assignment."""
        return {one.assignment_id: one.error for one in self.told if one.error}


@router.get("")
def queue(
    request: Request,
    caller: Verifier,
    shown: Annotated[Show, Query(alias="show")] = "verify",
    department: Annotated[str, Query()] = "",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """The queue; that these patients' results were read is noted."""
    return _page(request, caller, shown, _department(department), page=page)


@router.post("/verify")
def verify(request: Request, caller: Verifier, form: Form) -> Response:
    """One level of verification for each chosen row; the page says of each what became of it."""
    chosen = _chosen([str(one) for one in form.getlist("chosen")])
    outcomes: Sequence[RowOutcome] = []
    if chosen:
        given = VerifyManyInput(assignments=chosen, note=text(form, "note"))
        with tenant_work(caller) as session:
            outcomes = verify_many(session, caller.tenant_id, caller.actor, given)
    return _page(request, caller, "verify", _department(text(form, "department")), outcomes=outcomes)


@router.post("/release")
def release(request: Request, caller: Verifier, form: Form) -> Response:
    """Release each chosen row; the page says of each what became of it."""
    chosen = _chosen([str(one) for one in form.getlist("chosen")])
    outcomes: Sequence[RowOutcome] = []
    if chosen:
        with tenant_work(caller) as session:
            outcomes = release_many(session, caller.tenant_id, caller.actor, ReleaseManyInput(assignments=chosen))
        start_delivering(caller)
    return _page(request, caller, "release", _department(text(form, "department")), outcomes=outcomes)


def _page(
    request: Request,
    caller: Caller,
    shown: Show,
    department: int | None,
    *,
    page: int = 1,
    outcomes: Sequence[RowOutcome] | None = None,
) -> Response:
    for one in outcomes or ():
        if one.kind == "not_found":
            note_foreign(caller, "assignment", one.assignment_id)
    with tenant_work(caller) as session:
        queue = _load(session, caller, shown, department, page)
        told = _told(session, caller, outcomes or ())
        choices = load_choices(session, caller.tenant_id)
    status = 409 if told and all(one.error for one in told) else 200
    context = {"queue": replace(queue, told=told), "choices": choices, "is_empty_choice": outcomes == []}
    return show(request, "verification.html", caller, status=status, context=context)


def _load(session: Session, caller: Caller, shown: Show, department: int | None, page: int) -> Queue:
    wanted = WorklistFilter(status=[STATES[shown]], department_id=department)
    tenant_id = caller.tenant_id
    counts = worklist.count_by_state(session, tenant_id, wanted)
    rows = worklist.load_worklist(session, tenant_id, wanted, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
    ids = [row.id for row in rows]
    results = details.load_results(session, tenant_id, ids)
    before = previous.load_previous(session, tenant_id, ids)
    levels = _levels(session, tenant_id, {row.test_id for row in rows})
    note_read(session, tenant_id, caller.actor, [row.patient_id for row in rows])
    found = []
    for row in rows:
        current = next((one for one in results[row.id] if one.is_current), None)
        if current is not None:
            now = Situation(row, current, caller.user_id, caller.roles)
            problem = problem_of(shown, now)
            found.append(QueueRow(row, current, before.get(row.id), levels[row.test_id], problem))
    found.sort(key=lambda one: not (one.result.flag or "").startswith("critical"))
    return Queue(shown, department, page, found, {name: counts[state] for name, state in STATES.items()})


def _levels(session: Session, tenant_id: int, test_ids: set[int]) -> dict[int, int]:
    wanted = select(TestDefinition.id, TestDefinition.verification_levels).where(
        TestDefinition.tenant_id == tenant_id, TestDefinition.id.in_(test_ids)
    )
    return {row.id: row.verification_levels for row in session.execute(wanted)}


def _told(session: Session, caller: Caller, outcomes: Sequence[RowOutcome]) -> list[Told]:
    """The outcomes with what was refused first."""
    rows = {
        row.id: row for row in worklist.load_rows(session, caller.tenant_id, [one.assignment_id for one in outcomes])
    }
    told = [Told(one.assignment_id, rows.get(one.assignment_id), one.error) for one in outcomes]
    return sorted(told, key=lambda one: one.error is None)


def _chosen(values: Sequence[str]) -> list[SeenAssignment]:
    """The rows as `id:version`, the version being the one that was seen."""
    if len(values) > MOST_AT_ONCE:
        raise InvalidError(f"choose at most {MOST_AT_ONCE} rows", field="chosen")
    pairs = [value.split(":") for value in values]
    if not all(len(pair) == 2 and all(part.isascii() and part.isdigit() for part in pair) for pair in pairs):
        raise InvalidError("is not an assignment with its version", field="chosen")
    return [SeenAssignment(assignment_id=int(one), version=int(version)) for one, version in pairs]


def _department(value: str) -> int | None:
    return whole_number(value, field="department")
