"""Verification in levels: each by another person, and never by the one who entered the value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.instruments.catalogue_tables import TestDefinition
from models.instruments.inputs import SeenAssignment, VerifyInput, VerifyManyInput
from models.instruments.rules import Status
from models.instruments.stores.moves import change, current_result, lock_assignment, person
from models.instruments.tables import Assignment, Result, Verification
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, ForbiddenError, NotFoundError, RefusedError


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row of many; `error` is why it was refused, `kind` its class for the answer's code."""

    assignment_id: int
    status: str | None
    version: int | None
    error: str | None = None
    kind: str | None = None


def verify(session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: VerifyInput) -> Assignment:
    """One level of verification by `actor`; after the test's last level the assignment is verified.

    ConflictError when the page was stale or the state is another; ForbiddenError for who entered the value, or
    verified a level of it already.
    """
    user_id = person(actor)
    row = lock_assignment(session, tenant_id, assignment_id, version=given.version)
    result = current_result(session, row)
    if row.status != Status.ANALYSED or result is None:
        raise ConflictError(f"the assignment is {Status(row.status).word}, it cannot be verified")
    done = load_verifications(session, result)
    if result.entered_by == user_id:
        raise ForbiddenError("who entered a value cannot verify it")
    if any(one.user_id == user_id for one in done):
        raise ForbiddenError("each level needs another person; you verified this result already")
    levels = session.get_one(TestDefinition, (tenant_id, row.test_id)).verification_levels
    level = len(done) + 1
    session.add(Verification(tenant_id=tenant_id, result_id=result.id, level=level, user_id=user_id, note=given.note))
    noted = {"result_version": result.version, "level": level, "levels": levels}
    if level >= levels:
        row.verified_at = utc_now()
        change(session, actor, row, "assignment.verify", target=Status.VERIFIED, changes=noted)
    else:
        change(session, actor, row, "assignment.verify", changes=noted)
    return row


def verify_many(session: Session, tenant_id: int, actor: Actor, given: VerifyManyInput) -> list[RowOutcome]:
    """One level for each that can be verified, and for each that cannot the reason; in the order given."""

    def one(seen: SeenAssignment) -> Assignment:
        return verify(session, tenant_id, actor, seen.assignment_id, VerifyInput(version=seen.version, note=given.note))

    return for_each(given.assignments, one)


def for_each(assignments: Sequence[SeenAssignment], do: Callable[[SeenAssignment], Assignment]) -> list[RowOutcome]:
    """`do` for each, locked in order of their ids; a refusal is that row's outcome and nobody else's."""
    outcomes: dict[int, RowOutcome] = {}
    for seen in sorted(assignments, key=lambda one: one.assignment_id):
        try:
            row = do(seen)
        except RefusedError as error:
            if seen.assignment_id in outcomes:  # named twice: the first decides
                continue
            outcomes[seen.assignment_id] = RowOutcome(seen.assignment_id, None, None, str(error), kind_of(error))
        else:
            outcomes[seen.assignment_id] = RowOutcome(row.id, row.status, row.version)
    return [outcomes[one] for one in dict.fromkeys(seen.assignment_id for seen in assignments)]


def kind_of(error: RefusedError) -> str:
    """The refusal in one word, as answers about many rows give it."""
    kinds = {NotFoundError: "not_found", ForbiddenError: "forbidden", ConflictError: "conflict"}
    return kinds.get(type(error), "refused")


def load_verifications(session: Session, result: Result) -> Sequence[Verification]:
    """The levels of a result version so far, in order."""
    wanted = select(Verification).where(Verification.tenant_id == result.tenant_id, Verification.result_id == result.id)
    return session.scalars(wanted.order_by(Verification.level)).all()
