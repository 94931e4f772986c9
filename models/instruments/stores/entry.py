"""Results that a person gives: entered by hand, or correcting one that is there. The versions before are kept."""

from datetime import datetime

from sqlalchemy.orm import Session

from models.instruments.inputs import CorrectionInput, EntryInput
from models.instruments.result_rules import (
    CLOCK_TOLERANCE,
    ExpectedResult,
    check_plausible,
    flag_for,
    limits_for,
)
from models.instruments.rules import FINISHED, Status
from models.instruments.stores import deliveries
from models.instruments.stores.expected import load_expected
from models.instruments.stores.moves import (
    change,
    current_result,
    last_version,
    lock_assignment,
    person,
    set_aside_results,
    stop_polling,
)
from models.instruments.tables import Assignment, Result
from models.instruments.values import ParsedValue, UnreadableValueError, parse_value
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, InvalidError

ENTERABLE = (Status.PENDING, Status.UNKNOWN, Status.QUEUED, Status.IN_PROGRESS, Status.FAILED)


def enter_result(session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: EntryInput) -> Assignment:
    """A result by hand for an assignment that has none: it is analysed then, and its submission ended."""
    person(actor)
    row = lock_assignment(session, tenant_id, assignment_id, version=given.version, with_submission=True)
    if row.status not in ENTERABLE:
        hint = "it can be corrected" if row.status in FINISHED else "resolve what is held" if row.status == "H" else ""
        raise ConflictError(
            f"no result can be entered: the assignment is {Status(row.status).word}; {hint}".rstrip("; ")
        )
    deliveries.refuse_in_flight(session, tenant_id, [row.id])
    expected = load_expected(session, tenant_id, [row.id])[row.id]
    now = utc_now()
    completed_at = given.completed_at or now
    if completed_at > now + CLOCK_TOLERANCE:
        raise InvalidError("the time lies in the future", field="completed_at")
    value = read_entry(expected, given.value, given.unit)
    deliveries.skip_open(session, tenant_id, [row.id], reason="the result was entered by hand")
    stop_polling(row)
    row.analyzed_at = now
    made = add_version(session, actor, row, expected, value, completed_at=completed_at, remarks=given.remarks)
    change(session, actor, row, "assignment.enter", target=Status.ANALYSED, changes={"version": made.version})
    return row


def correct_result(
    session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: CorrectionInput
) -> Assignment:
    """A new version of the result; it needs verification anew. What was released stays so until the new one is."""
    person(actor)
    row = lock_assignment(session, tenant_id, assignment_id, version=given.version)
    earlier = current_result(session, row)
    if row.status not in FINISHED or earlier is None:
        raise ConflictError(f"there is no result to correct: the assignment is {Status(row.status).word}")
    expected = load_expected(session, tenant_id, [row.id])[row.id]
    value = read_entry(expected, given.value, given.unit)
    made = add_version(
        session,
        actor,
        row,
        expected,
        value,
        completed_at=earlier.completed_at,
        remarks=given.remarks,
        reason=given.reason,
        message_id=earlier.message_id,
    )
    row.verified_at = None
    noted = {"version": [earlier.version, made.version], "reason": given.reason}
    change(session, actor, row, "assignment.correct", target=Status.ANALYSED, changes=noted)
    return row


def read_entry(expected: ExpectedResult, value: str, unit: str) -> ParsedValue:
    """The value a person gave; InvalidError where type, unit or plausible limits of the test say otherwise."""
    if unit != expected.unit:
        raise InvalidError("is not the test's unit", field="unit")
    try:
        parsed = parse_value(value, expected.result_type)
    except UnreadableValueError as error:
        raise InvalidError(str(error), field="value") from None
    for violation in check_plausible(parsed, expected.plausible_low, expected.plausible_high, "value"):
        raise InvalidError(violation.message, field="value")
    return parsed


def add_version(  # noqa: PLR0913  # a result has these parts
    session: Session,
    actor: Actor,
    row: Assignment,
    expected: ExpectedResult,
    value: ParsedValue,
    *,
    completed_at: datetime,
    remarks: str = "",
    reason: str | None = None,
    message_id: int | None = None,
) -> Result:
    """The next version of a locked assignment's result, as `actor` gave it; it is the one that counts now."""
    last = last_version(session, row)
    set_aside_results(session, row)
    limits = limits_for(expected, completed_at)
    made = Result(
        tenant_id=row.tenant_id,
        assignment_id=row.id,
        version=last + 1,
        run_number=row.run_number,
        source="manual",
        raw_value=value.raw,
        value=value.number,
        unit=expected.unit,
        flag=flag_for(value, limits),
        range_low=limits.low,
        range_high=limits.high,
        panic_low=limits.panic_low,
        panic_high=limits.panic_high,
        remarks=remarks,
        completed_at=completed_at,
        entered_by=person(actor),
        message_id=message_id,
        reason=reason,
    )
    session.add(made)
    session.flush()
    return made
