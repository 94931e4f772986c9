"""The way of an open alert: the patient is asked, then the ladder goes on, each step once.

Deadlines lie in the alert's row; whoever acts on one holds that row's lock. A step is written down in the transaction
that publishes its mails, so that a killed run has done all of it or nothing, and a doubled one finds nothing to do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from models.alerts.ladder import QUESTION_DAYS, Policy
from models.alerts.stores.changes import Happened, write_down
from models.alerts.stores.setup import load_policy
from models.alerts.stores.telling import Told, contacts, notice_mail, people, question_mail
from models.alerts.tables import Alert, AlertQuestion
from models.kernel.audit import SYSTEM, Actor
from models.kernel.outbox import Event
from models.kernel.secrets import NewToken, new_token
from models.kernel.settings import settings

MOST_AT_ONCE = 200


@dataclass(slots=True)
class Escalated:
    """What was done: alerts looked at, steps, people told, and alerts for which there was nobody to tell."""

    alerts: int = 0
    steps: int = 0
    told: int = 0
    nobody: list[int] = field(default_factory=list)


def escalate(session: Session, tenant_id: int, now: datetime, *, actor: Actor = SYSTEM) -> Escalated:
    """Do every step that is due at `now`, once each, for MOST_AT_ONCE alerts; not those another run holds."""
    wanted = (
        select(Alert)
        .where(Alert.tenant_id == tenant_id, Alert.next_step_at <= now)
        .order_by(Alert.next_step_at, Alert.id)
        .limit(MOST_AT_ONCE)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return Way(session, tenant_id, actor, now).advance(session.scalars(wanted).all())


class Way:
    """What one transaction does with alerts whose rows it has locked; `finish` writes it down."""

    def __init__(self, session: Session, tenant_id: int, actor: Actor, now: datetime) -> None:
        self._session, self._tenant_id, self._actor, self._now = session, tenant_id, actor, now
        self._happened: list[Happened] = []
        self._mails: list[Event] = []
        self._done = Escalated()

    def begin(self, opened: Sequence[Alert], worsened: Sequence[Alert] = ()) -> None:
        """Ask the patient, or go straight to the ladder where nobody can be asked or the tenant's rule says so."""
        if not opened and not worsened:
            return
        self._load([*opened, *worsened])
        asked: list[tuple[Alert, NewToken]] = []
        for alert in (*opened, *worsened):
            is_waiting = alert.ladder_from is None and alert.next_step_at is not None
            if alert.ladder_from is not None:  # somebody was told already, of less than it is now
                alert.acknowledged_at = alert.acknowledged_by = alert.read_back = None
                self._start(alert, self._now)
            elif (reason := self._why_not_asked(alert)) is not None:
                self._note(alert, "not_asked", {"reason": reason})
                self._start(alert, self._now)
            elif not is_waiting:
                asked.append((alert, new_token("alert")))
        self._ask(asked)
        self._climb((*opened, *worsened))
        self._finish()

    def advance(self, due: Sequence[Alert]) -> Escalated:
        """Do what is due; where the patient's time to answer is over the ladder begins, as of that moment."""
        if due:
            self._load(due)
            for alert in due:
                if alert.ladder_from is None and alert.next_step_at is not None:
                    self._note(alert, "unanswered", {})
                    self._start(alert, alert.next_step_at)
            self._done.alerts = len(due)
            self._climb(due)
            self._finish()
        return self._done

    def answered(self, alert: Alert, answer: str) -> None:
        """yes: the ladder begins now. no: nobody is told, unless somebody was already. help: everybody, at once."""
        self._load([alert])
        self._note(alert, "answered", {"answer": answer})
        if answer == "no" and alert.ladder_from is None:
            alert.next_step_at = None
        elif answer == "yes" and alert.ladder_from is None:
            self._start(alert, self._now)
            self._climb([alert])
        elif answer == "help":
            if alert.ladder_from is None:
                self._start(alert, self._now)
            self._tell(alert, self._policy.everybody, asks_for_help=True)
            alert.next_step = max(alert.next_step, len(self._policy.ladder))
            alert.next_step_at = None
        self._finish()

    def _load(self, alerts: Iterable[Alert]) -> None:
        self._policy: Policy = load_policy(self._session, self._tenant_id)
        self._contacts = contacts(self._session, self._tenant_id)
        self._people = people(self._session, self._tenant_id, (alert.patient_id for alert in alerts))

    def _why_not_asked(self, alert: Alert) -> str | None:
        if alert.level == "critical" and self._policy.critical_skips_question:
            return "critical"
        return None if self._people[alert.patient_id].email else "no address"

    def _ask(self, asked: Sequence[tuple[Alert, NewToken]]) -> None:
        if not asked:
            return
        minutes = self._policy.question_minutes
        rows = [
            {
                "tenant_id": self._tenant_id,
                "alert_id": alert.id,
                "token_hash": token.sha256,
                "asked_at": self._now,
                "expires_at": self._now + timedelta(days=QUESTION_DAYS),
            }
            for alert, token in asked
        ]
        statement = insert(AlertQuestion).returning(AlertQuestion.id, sort_by_parameter_order=True)
        for (alert, token), number in zip(asked, self._session.scalars(statement, rows), strict=True):
            alert.next_step_at = self._now + timedelta(minutes=minutes)
            link = f"{settings().base_url}/alerts/question/{token.text}"
            person = self._people[alert.patient_id]
            self._mails.append(question_mail(self._tenant_id, person, question_id=number, link=link, minutes=minutes))
            self._note(alert, "asked", {"question_id": number, "minutes": minutes})

    def _start(self, alert: Alert, at: datetime) -> None:
        alert.ladder_from, alert.next_step = at, 0
        alert.round += 1
        alert.next_step_at = self._policy.due_at(at, 0)

    def _climb(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            while alert.ladder_from is not None and alert.next_step_at is not None and alert.next_step_at <= self._now:
                if alert.next_step >= len(self._policy.ladder):  # the ladder became shorter meanwhile
                    alert.next_step_at = None
                    break
                told = self._tell(alert, self._policy.ladder[alert.next_step].roles)
                due = self._policy.due_at(alert.ladder_from, alert.next_step)
                # A step that reaches nobody must not cost its time: the next one is due at once.
                alert.next_step_at = due if told or due is None else min(due, self._now)

    def _tell(self, alert: Alert, roles: Sequence[str], *, asks_for_help: bool = False) -> list[Told]:
        told = [one for role in roles for one in self._contacts.get(role, ())]
        silent = [role for role in roles if not self._contacts.get(role)]
        person = self._people[alert.patient_id]
        self._mails += [notice_mail(self._tenant_id, alert, person, one, asks_for_help=asks_for_help) for one in told]
        detail = {
            "roles": list(roles),
            "told": [{"role": one.role, "name": one.name, "address": one.address} for one in told],
            "nobody_for": silent,
        }
        self._note(alert, "told", detail, step=alert.next_step)
        alert.next_step += 1
        self._done.steps += 1
        self._done.told += len(told)
        if not told:
            self._done.nobody.append(alert.id)
        return told

    def _note(self, alert: Alert, name: str, detail: dict[str, object], *, step: int | None = None) -> None:
        self._happened.append(Happened(alert.id, self._now, name, alert.level, alert.round, step=step, detail=detail))

    def _finish(self) -> None:
        write_down(self._session, self._tenant_id, self._actor, self._happened, self._mails)
        self._happened, self._mails = [], []
