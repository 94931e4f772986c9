"""How one assignment is changed by somebody: locked, compared with the version that was seen, moved, audited."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.instruments import rules
from models.instruments.rules import Status
from models.instruments.stores import deliveries
from models.instruments.tables import Assignment, Result
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, ForbiddenError, NotFoundError


def lock_assignment(
    session: Session, tenant_id: int, assignment_id: int, *, version: int | None = None, with_submission: bool = False
) -> Assignment:
    """The assignment, locked to the end of the transaction; ConflictError when it is not in the version seen.

    `with_submission` locks its unsettled deliveries too, for actions that end or renew them.
    """
    if with_submission:
        deliveries.lock_open(session, tenant_id, [assignment_id])
    wanted = select(Assignment).where(Assignment.tenant_id == tenant_id, Assignment.id == assignment_id)
    row = session.scalar(wanted.with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise unknown_assignment(assignment_id)
    if version is not None and row.version != version:
        raise ConflictError(
            f"assignment {assignment_id} was changed since it was read (version {version}, now {row.version}: "
            f"{Status(row.status).word})",
            field="version",
        )
    return row


def unknown_assignment(assignment_id: int) -> NotFoundError:
    """The refusal of an id that is not there, or not this tenant's."""
    return NotFoundError(f"no assignment {assignment_id}", resource="assignment", resource_id=assignment_id)


def change(
    session: Session,
    actor: Actor,
    assignment: Assignment,
    action: str,
    *,
    target: Status | None = None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Move to `target` where one is given, count the version up, write the audit row."""
    noted: dict[str, Any] = dict(changes or {})
    if target is not None:
        before = assignment.status
        assignment.status = rules.move(before, target)
        noted["status"] = [before, assignment.status]
    assignment.version += 1
    session.flush()
    record(session, assignment.tenant_id, actor, Action(action, "assignment", assignment.id, noted))


def current_result(session: Session, assignment: Assignment) -> Result | None:
    """The result that counts now, or None."""
    wanted = select(Result).where(
        Result.tenant_id == assignment.tenant_id, Result.assignment_id == assignment.id, Result.is_current
    )
    return session.scalar(wanted.order_by(Result.version.desc()).limit(1))


def last_version(session: Session, assignment: Assignment) -> int:
    """The number of the newest version of its result; 0 without any."""
    of_assignment = (Result.tenant_id == assignment.tenant_id, Result.assignment_id == assignment.id)
    return session.scalar(select(func.max(Result.version)).where(*of_assignment)) or 0


def set_aside_results(session: Session, assignment: Assignment) -> None:
    """No version of its result counts any more; all are kept."""
    of_assignment = (Result.tenant_id == assignment.tenant_id, Result.assignment_id == assignment.id)
    session.execute(update(Result).where(*of_assignment, Result.is_current).values(is_current=False))


def stop_polling(assignment: Assignment) -> None:
    """No more questions to the instrument about it."""
    assignment.next_poll_at = None
    assignment.poll_lease_owner = None
    assignment.poll_leased_until = None


def person(actor: Actor) -> int:
    """The id of the user who acts; ForbiddenError for programs that act for nobody."""
    user_id = user_of(actor)
    if user_id is None:
        raise ForbiddenError("only a person can do this")
    return user_id


def user_of(actor: Actor) -> int | None:
    """The id of the user who acts, or None."""
    return int(actor.id) if actor.kind == "user" else None
