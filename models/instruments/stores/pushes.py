"""Results that instruments push unasked: kept as they come, matched with their assignment, then checked as all are."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.instruments.result_rules import Violation, parse_result
from models.instruments.stores.equipment import get_equipment
from models.instruments.stores.results import hold_messages
from models.instruments.tables import Assignment, InstrumentMessage
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import InvalidError

LARGEST_BODY = 1_000_000
MATCH_WITHIN = timedelta(minutes=15)
"""How long a pushed result may be ahead of what we know of its number: a submission's answer is written in less."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A pushed message: `is_new` is false for bytes that had come before."""

    message_id: int
    assignment_id: int | None
    is_new: bool


def accept_pushed(
    session: Session, tenant_id: int, actor: Actor, equipment_id: int, body: bytes, *, now: datetime
) -> Accepted:
    """Keep a pushed result; the same bytes again change nothing. The checks follow in the flow that polls.

    InvalidError for an answer that is not finished; what cannot be read is kept and held, for a person to see.
    """
    get_equipment(session, tenant_id, equipment_id)
    if not body or len(body) > LARGEST_BODY:
        raise InvalidError(f"a result has 1 to {LARGEST_BODY} bytes", field="body")
    result = parse_result(body)
    if not isinstance(result, Violation) and result.status not in ("completed", "failed"):
        raise InvalidError("only a finished result is taken here", field="status")
    digest = hashlib.sha256(body).digest()
    # one lock per instrument and content: two pushes of the same bytes at once wait for each other
    lock = int.from_bytes(hashlib.sha256(b"%d:%d:" % (tenant_id, equipment_id) + digest).digest()[:8], signed=True)
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})
    known = session.scalar(
        select(InstrumentMessage)
        .where(
            InstrumentMessage.tenant_id == tenant_id,
            InstrumentMessage.equipment_id == equipment_id,
            InstrumentMessage.sha256 == digest,
        )
        .order_by(InstrumentMessage.id.desc())
        .limit(1)
    )
    if known is not None:
        return Accepted(known.id, known.assignment_id, is_new=False)
    assignment = None
    if not isinstance(result, Violation):
        assignment = _find(session, tenant_id, equipment_id, result.id, result.request_id)
    values = {
        "tenant_id": tenant_id,
        "equipment_id": equipment_id,
        "assignment_id": assignment.id if assignment else None,
        "run_number": assignment.run_number if assignment else None,
        "kind": "push",
        "body": body,
        "sha256": digest,
        "received_at": now,
    }
    message_id = session.execute(insert(InstrumentMessage).values(values).returning(InstrumentMessage.id)).scalar_one()
    noted = {"equipment_id": equipment_id, "assignment_id": values["assignment_id"]}
    record(session, tenant_id, actor, Action("instrument_message.push", "instrument_message", message_id, noted))
    return Accepted(message_id, assignment.id if assignment else None, is_new=True)


def match_pushed(session: Session, tenant_id: int, *, now: datetime) -> int:
    """Find the assignments of pushed messages that had none; those without one for MATCH_WITHIN are held.

    How many were matched or held. Unreadable ones are held at once: no number in them can be found later.
    """
    wanted = (
        select(InstrumentMessage)
        .where(
            InstrumentMessage.tenant_id == tenant_id,
            InstrumentMessage.processed_at.is_(None),
            InstrumentMessage.assignment_id.is_(None),
        )
        .order_by(InstrumentMessage.id)
        .limit(1000)
        .with_for_update(skip_locked=True)
    )
    settled = 0
    for message in session.scalars(wanted):
        result = parse_result(message.body)
        if isinstance(result, Violation):
            _hold(session, message, result, now)
        elif assignment := _find(session, tenant_id, message.equipment_id, result.id, result.request_id):
            _match(session, message, assignment, now)
        elif message.received_at <= now - MATCH_WITHIN:
            _hold(session, message, Violation("unmatched", "id", "no assignment has this number there"), now)
        else:
            continue
        settled += 1
    session.flush()
    return settled


def _find(
    session: Session, tenant_id: int, equipment_id: int, queue_id: str, request_id: str | None
) -> Assignment | None:
    """The assignment with this number at the instrument, else the one with this request id that is meant for it."""
    here = (Assignment.tenant_id == tenant_id, Assignment.equipment_id == equipment_id)
    found = session.scalar(select(Assignment).where(*here, Assignment.queue_id == queue_id))
    if found is None and request_id is not None:
        found = session.scalar(select(Assignment).where(*here, Assignment.request_id == request_id))
    return found


def _match(session: Session, message: InstrumentMessage, assignment: Assignment, now: datetime) -> None:
    """Give the message its assignment; the same bytes may have been fetched meanwhile, then this copy is done."""
    try:
        with session.begin_nested():
            message.assignment_id, message.run_number = assignment.id, assignment.run_number
    except IntegrityError:
        session.refresh(message)
        message.processed_at = now


def _hold(session: Session, message: InstrumentMessage, violation: Violation, now: datetime) -> None:
    message.processed_at = now
    row = {
        "tenant_id": message.tenant_id,
        "assignment_id": None,
        "message_id": message.id,
        "violations": [violation.as_json()],
    }
    hold_messages(session, [row])
