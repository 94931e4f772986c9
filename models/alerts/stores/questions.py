"""The patient's one-time link: what it asks about, and its one answer."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.alerts.stores.escalation import Way
from models.alerts.tables import Alert, AlertQuestion
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import NotFoundError
from models.kernel.secrets import token_hash
from models.kernel.tables import Tenant

USED_UP = "this question was answered already, or is over"


@dataclass(frozen=True, slots=True)
class Question:
    """What the page of a link shows: who asks, when, and whether somebody was told already. No value, no name."""

    laboratory: str
    asked_at: datetime
    is_told: bool


def find_question(session: Session, token: str) -> tuple[int, int] | None:
    """Tenant and id of the question with this link, answered or not (a transaction without a tenant)."""
    row = session.execute(
        text("SELECT tenant_id, id FROM registry_alert_question(:hash)"), {"hash": token_hash(token)}
    ).one_or_none()
    return None if row is None else (row.tenant_id, row.id)


def open_question(session: Session, tenant_id: int, question_id: int, *, now: datetime | None = None) -> Question:
    """What is asked; NotFoundError when it was answered, has expired, or the alert is over. Looking uses nothing up."""
    question, alert = _open(session, tenant_id, question_id, now=now or utc_now())
    laboratory = session.scalar(select(Tenant.name).where(Tenant.id == tenant_id)) or ""
    return Question(laboratory, question.asked_at, alert.ladder_from is not None)


def answer_question(
    session: Session, tenant_id: int, actor: Actor, question_id: int, answer: str, *, now: datetime | None = None
) -> None:
    """Take the one answer and act on it at once; NotFoundError as `open_question`. Two at once: the first counts."""
    moment = now or utc_now()
    alert_id = session.scalar(
        select(AlertQuestion.alert_id).where(AlertQuestion.tenant_id == tenant_id, AlertQuestion.id == question_id)
    )
    # The alert's row first, as everybody who acts on an alert takes it first.
    session.execute(select(Alert.id).where(Alert.tenant_id == tenant_id, Alert.id == alert_id).with_for_update())
    question, alert = _open(session, tenant_id, question_id, now=moment)
    question.answer, question.answered_at = answer, moment
    alert.version += 1
    Way(session, tenant_id, actor, moment).answered(alert, answer)


def _open(session: Session, tenant_id: int, question_id: int, *, now: datetime) -> tuple[AlertQuestion, Alert]:
    wanted = (
        select(AlertQuestion, Alert)
        .join(Alert, (Alert.tenant_id == AlertQuestion.tenant_id) & (Alert.id == AlertQuestion.alert_id))
        .where(
            AlertQuestion.tenant_id == tenant_id,
            AlertQuestion.id == question_id,
            AlertQuestion.answered_at.is_(None),
            AlertQuestion.expires_at > now,
            Alert.closed_at.is_(None),
        )
        .execution_options(populate_existing=True)
    )
    found = session.execute(wanted).one_or_none()
    if found is None:
        raise NotFoundError(USED_UP)
    return found[0], found[1]
