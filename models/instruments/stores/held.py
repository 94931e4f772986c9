"""Held results and what a person decides about them, always with a reason."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.instruments.inputs import HeldInput, MatchInput
from models.instruments.result_rules import CheckedResult, Violation, parse_result
from models.instruments.rules import FINISHED, Status
from models.instruments.stores.entry import add_version, read_entry
from models.instruments.stores.expected import load_expected
from models.instruments.stores.moves import change, last_version, lock_assignment, person, set_aside_results
from models.instruments.stores.results import result_row
from models.instruments.stores.runs import start_new_run
from models.instruments.tables import Assignment, HeldResult, InstrumentMessage, Result
from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, NotFoundError

DONE_AS = {"release": "released", "correct": "corrected", "refetch": "refetched", "discard": "discarded"}


def get_held(session: Session, tenant_id: int, held_id: int) -> HeldResult:
    """The held result, or NotFoundError."""
    held = session.get(HeldResult, (tenant_id, held_id))
    if held is None:
        raise NotFoundError(f"no held result {held_id}", resource="held_result", resource_id=held_id)
    return held


def list_held(
    session: Session, tenant_id: int, *, state: str = "open", limit: int = 50, offset: int = 0
) -> tuple[Sequence[HeldResult], int]:
    """Held results in this state, the newest first, and how many there are in all."""
    here = (HeldResult.tenant_id == tenant_id, HeldResult.state == state)
    total = session.scalar(select(func.count()).select_from(HeldResult).where(*here)) or 0
    wanted = select(HeldResult).where(*here).order_by(HeldResult.id.desc()).limit(limit).offset(offset)
    return session.scalars(wanted).all(), total


def get_message(session: Session, held: HeldResult) -> InstrumentMessage:
    """What was received, byte for byte."""
    return session.get_one(InstrumentMessage, (held.tenant_id, held.message_id))


def resolve_held(session: Session, tenant_id: int, actor: Actor, held_id: int, given: HeldInput) -> HeldResult:
    """Let through, correct, fetch again, or discard; ConflictError where it is resolved already or cannot be done.

    Discarding orders the test anew where the assignment waits for this result, and only closes it otherwise.
    """
    held, row = _locked(session, tenant_id, held_id)
    if row is None:
        if given.action != "discard":
            raise ConflictError("this result belongs to no assignment: match it with one, or discard it")
    elif given.action == "release":
        _release(session, actor, held, row, given.reason)
    elif given.action == "correct":
        _correct(session, actor, held, row, given)
    elif given.action == "refetch":
        _refetch(session, actor, row, given.reason)
    elif row.status == Status.HELD:
        start_new_run(session, actor, row, given.reason)
    _close(session, actor, held, DONE_AS[given.action], given.reason)
    return held


def match_held(session: Session, tenant_id: int, actor: Actor, held_id: int, given: MatchInput) -> HeldResult:
    """Say to which assignment an unmatched message belongs; it is then checked by the same rules as any other."""
    held, row = _locked(session, tenant_id, held_id)
    if row is not None:
        raise ConflictError(f"this result belongs to assignment {row.id}")
    chosen = lock_assignment(session, tenant_id, given.assignment_id)
    message = get_message(session, held)
    if chosen.equipment_id != message.equipment_id:
        raise ConflictError("the result came from another instrument than the assignment's", field="assignment_id")
    message.assignment_id, message.run_number, message.processed_at = chosen.id, chosen.run_number, None
    held.assignment_id = chosen.id
    _close(session, actor, held, "released", given.reason)
    return held


def _locked(session: Session, tenant_id: int, held_id: int) -> tuple[HeldResult, Assignment | None]:
    """The open held result and its assignment, both locked, the assignment first as everywhere."""
    assignment_id = get_held(session, tenant_id, held_id).assignment_id
    row = None
    if assignment_id is not None:
        row = lock_assignment(session, tenant_id, assignment_id, with_submission=True)
    held = session.get_one(HeldResult, (tenant_id, held_id), with_for_update=True, populate_existing=True)
    if held.state != "open":
        raise ConflictError(f"held result {held_id} is {held.state} already")
    return held, row


def _release(session: Session, actor: Actor, held: HeldResult, row: Assignment, reason: str) -> None:
    """The instrument's result as it is, under the person's responsibility."""
    message = get_message(session, held)
    result = parse_result(message.body)
    if isinstance(result, Violation) or not (result.value or "").strip():
        raise ConflictError("there is no readable value to release: correct it, fetch it again, or discard it")
    _refuse_earlier_run(message, row)
    expected = load_expected(session, row.tenant_id, [row.id])[row.id]
    checked = CheckedResult(expected, row.run_number, message.id, _source(message), result, ())
    version = last_version(session, row) + 1
    made = Result(**result_row(row.tenant_id, checked, version=version, now=utc_now()), reason=reason)
    set_aside_results(session, row)
    session.add(made)
    _analysed(session, actor, row, "assignment.release_held", made, reason)


def _correct(session: Session, actor: Actor, held: HeldResult, row: Assignment, given: HeldInput) -> None:
    """The right value as the person gives it; when it was measured is taken from the message where that says so."""
    message = get_message(session, held)
    _refuse_earlier_run(message, row)
    expected = load_expected(session, row.tenant_id, [row.id])[row.id]
    value = read_entry(expected, given.value or "", given.unit or "")
    result = parse_result(message.body)
    said = None if isinstance(result, Violation) else result.completed_at
    now = utc_now()
    completed_at = said if said is not None and said.tzinfo is not None and expected.ordered_at <= said <= now else now
    made = add_version(
        session,
        actor,
        row,
        expected,
        value,
        completed_at=completed_at,
        reason=given.reason,
        message_id=message.id,
    )
    _analysed(session, actor, row, "assignment.correct_held", made, given.reason)


def _analysed(session: Session, actor: Actor, row: Assignment, action: str, made: Result, reason: str) -> None:
    if row.status not in FINISHED:
        row.analyzed_at = utc_now()
    row.verified_at = None
    noted = {"version": made.version, "reason": reason}
    change(session, actor, row, action, target=Status.ANALYSED, changes=noted)


def _refetch(session: Session, actor: Actor, row: Assignment, reason: str) -> None:
    if row.queue_id is None:
        raise ConflictError("the instrument has no number for it: it cannot be fetched again")
    row.next_poll_at = utc_now()
    change(session, actor, row, "assignment.refetch", target=Status.QUEUED, changes={"reason": reason})


def _refuse_earlier_run(message: InstrumentMessage, row: Assignment) -> None:
    if message.run_number is not None and message.run_number != row.run_number:
        raise ConflictError("this result is of an earlier run; it can only be discarded")


def _source(message: InstrumentMessage) -> str:
    return "push" if message.kind == "push" else "instrument"


def _close(session: Session, actor: Actor, held: HeldResult, state: str, reason: str) -> None:
    held.state, held.reason = state, reason
    held.resolved_by, held.resolved_at = person(actor), utc_now()
    session.flush()
    noted = {"state": ["open", state], "reason": reason, "assignment_id": held.assignment_id}
    record(session, held.tenant_id, actor, Action(f"held_result.{state}", "held_result", held.id, noted))
