"""Remarks beside an assignment, and stale ones somebody has taken note of."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.instruments.inputs import AcknowledgeInput, CommentInput
from models.instruments.stores.moves import person, unknown_assignment
from models.instruments.tables import Assignment, AssignmentComment
from models.kernel.audit import Action, Actor, record, record_many
from models.kernel.clock import utc_now


def add_comment(
    session: Session, tenant_id: int, actor: Actor, assignment_id: int, given: CommentInput
) -> AssignmentComment:
    """A remark; the audit row names it and does not repeat it."""
    if session.get(Assignment, (tenant_id, assignment_id)) is None:
        raise unknown_assignment(assignment_id)
    made = AssignmentComment(tenant_id=tenant_id, assignment_id=assignment_id, user_id=person(actor), body=given.body)
    session.add(made)
    session.flush()
    noted = {"comment_id": made.id}
    record(session, tenant_id, actor, Action("assignment.comment", "assignment", assignment_id, noted))
    return made


def list_comments(session: Session, tenant_id: int, assignment_id: int) -> Sequence[AssignmentComment]:
    """The remarks beside an assignment, oldest first."""
    if session.get(Assignment, (tenant_id, assignment_id)) is None:
        raise unknown_assignment(assignment_id)
    wanted = select(AssignmentComment).where(
        AssignmentComment.tenant_id == tenant_id, AssignmentComment.assignment_id == assignment_id
    )
    return session.scalars(wanted.order_by(AssignmentComment.id)).all()


def acknowledge_stale(session: Session, tenant_id: int, actor: Actor, given: AcknowledgeInput) -> list[int]:
    """Note that somebody knows about these: they are not mailed again. The ids newly acknowledged."""
    user_id, now = person(actor), utc_now()
    wanted = select(Assignment).where(Assignment.tenant_id == tenant_id, Assignment.id.in_(given.assignment_ids))
    rows = {row.id: row for row in session.scalars(wanted.order_by(Assignment.id).with_for_update())}
    for assignment_id in given.assignment_ids:
        if assignment_id not in rows:
            raise unknown_assignment(assignment_id)
    fresh = [row for row in rows.values() if row.stale_acknowledged_at is None]
    for row in fresh:
        row.stale_acknowledged_at, row.stale_acknowledged_by = now, user_id
    session.flush()
    ids = [row.id for row in fresh]
    record_many(session, tenant_id, actor, [Action("assignment.acknowledge", "assignment", one, {}) for one in ids])
    return ids
