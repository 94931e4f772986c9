"""One assignment: its facts, its result beside the one before, what can be done now, and its whole history."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.deps import Caller, tenant_work
from api.instruments.charts import RangeBar, range_bar
from api.instruments.deeds import Deed, Situation, deeds_for, possible
from api.instruments.pages_kit import Reader, Refusal, complaints, show
from api.instruments.timeline_view import Line, lines_of
from models.instruments.catalogue_tables import TestDefinition
from models.instruments.flags import Limits, age_in_days
from models.instruments.stores import catalogue, details, previous, timeline, worklist
from models.instruments.stores.choices import Option, load_choices
from models.instruments.stores.details import ReleasedRow, ResultRow
from models.instruments.stores.previous import Previous
from models.instruments.stores.worklist import WorklistRow
from models.instruments.tables import Assignment, HeldResult
from models.kernel.clock import utc_now
from models.kernel.fields import Id
from models.people.stores.patients import get_patient
from models.people.stores.reads import note_read
from models.people.tables import Patient, User

STAFF = ("technician", "verifier")
ASKED = frozenset({"verify", "release", "held", "send", "fetch", "enter", "correct", "resolve"})
STEPS = ("P", "Q", "I", "A", "V", "R")
router = APIRouter()


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything the page shows of one assignment to this caller."""

    row: WorklistRow
    assignment: Assignment
    patient: Patient
    age_days: int | None
    test: TestDefinition
    ordered_by: str | None
    sees_all: bool
    results: list[ResultRow]
    released: ReleasedRow | None
    before: Previous | None
    bar: RangeBar | None
    deeds: list[Deed]
    lines: list[Line]
    open_held: list[int]
    instruments: list[Option]

    @property
    def result(self) -> ResultRow | None:
        """The result that counts now."""
        return next((one for one in self.results if one.is_current), None)

    @property
    def earlier(self) -> list[ResultRow]:
        """The versions that do not count any more, the newest first."""
        return [one for one in reversed(self.results) if not one.is_current]

    @property
    def possible(self) -> dict[str, Deed]:
        """What can be done now, by name."""
        return possible(self.deeds)

    @property
    def is_asked(self) -> bool:
        """Whether this step waits for something the caller can do."""
        return not ASKED.isdisjoint(self.possible)

    @property
    def steps_done(self) -> int:
        """How many of the usual steps lie behind; 0 for states beside the usual way."""
        return STEPS.index(self.row.status) + 1 if self.row.status in STEPS else 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A form of the page that was refused: what was typed, and the complaints."""

    deed: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@router.get("/assignments/{assignment_id}")
def assignment(request: Request, assignment_id: Id, caller: Reader) -> Response:
    """The page; that it was read is noted."""
    return answer(request, caller, assignment_id)


def answer(
    request: Request,
    caller: Caller,
    assignment_id: int,
    *,
    refused: Refusal | None = None,
    deed: str = "",
    values: Mapping[str, str] | None = None,
) -> Response:
    """The page, or after a refusal the page with what was typed and why it was not taken."""
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        sheet = load_sheet(session, caller, assignment_id)
    context: dict[str, Any] = {"sheet": sheet, "attempt": Attempt(deed, values or {}, errors), "steps": STEPS}
    return show(request, "assignment.html", caller, status=status, context=context)


def load_sheet(session: Session, caller: Caller, assignment_id: int) -> Sheet:
    """What the page shows; NotFoundError. The reading is noted in the same transaction."""
    tenant_id, sees_all = caller.tenant_id, caller.has(*STAFF)
    row = worklist.get_row(session, tenant_id, assignment_id)
    note_read(session, tenant_id, caller.actor, [row.patient_id])
    results = details.load_results(session, tenant_id, [assignment_id])[assignment_id] if sees_all else []
    current = next((one for one in results if one.is_current), None)
    released = details.load_released(session, tenant_id, assignment_id=assignment_id)
    test = catalogue.get_test(session, tenant_id, row.test_id)
    held = select(HeldResult.id).where(
        HeldResult.tenant_id == tenant_id, HeldResult.assignment_id == assignment_id, HeldResult.state == "open"
    )
    open_held = list(session.scalars(held.order_by(HeldResult.id)))
    assignment = session.get_one(Assignment, (tenant_id, assignment_id))
    ordered_by = session.get(User, (tenant_id, assignment.created_by)) if assignment.created_by else None
    patient = get_patient(session, tenant_id, row.patient_id)
    now = Situation(row, current, caller.user_id, caller.roles, open_held)
    return Sheet(
        row=row,
        assignment=assignment,
        patient=patient,
        age_days=age_in_days(patient.birth_date, utc_now().date()),
        test=test,
        ordered_by=ordered_by.name if ordered_by else None,
        sees_all=sees_all,
        results=results,
        released=released[0] if released else None,
        before=previous.load_previous(session, tenant_id, [assignment_id]).get(assignment_id) if sees_all else None,
        bar=_bar(current),
        deeds=deeds_for(now),
        lines=lines_of(timeline.read_timeline(session, tenant_id, assignment_id)) if sees_all else [],
        open_held=open_held,
        instruments=load_choices(session, tenant_id, offered_only=True).instruments,
    )


def _bar(result: ResultRow | None) -> RangeBar | None:
    if result is None:
        return None
    limits = Limits(result.range_low, result.range_high, result.panic_low, result.panic_high)
    return range_bar(result.value, limits)
