"""What a tenant sets about telling: the ladder, and whom its steps reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.alerts.ladder import USUAL, Policy, Step
from models.alerts.schemas import ContactIn, PolicyIn
from models.alerts.stores.telling import Told, contacts, trial_mail
from models.alerts.tables import AlertContact, AlertPolicy
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, NotFoundError
from models.kernel.outbox import publish
from models.people.rules import refuse_stale

MOST_CONTACTS = 100


@dataclass(frozen=True, slots=True)
class Reach:
    """A step of the ladder with those it reaches, by role; a role without anybody has an empty list."""

    after_minutes: int
    told: dict[str, list[Told]]

    @property
    def is_anybody(self) -> bool:
        """Whether the step tells somebody at all."""
        return any(self.told.values())


@dataclass(frozen=True, slots=True)
class Trial:
    """The newest test mail of a contact: when it was asked for, and its delivery's state."""

    asked_at: datetime
    state: str


def load_policy(session: Session, tenant_id: int) -> Policy:
    """The tenant's rule, or the usual one."""
    row = session.get(AlertPolicy, tenant_id)
    if row is None:
        return USUAL
    ladder = tuple(Step(step["after_minutes"], tuple(step["roles"])) for step in row.ladder)
    return Policy(ladder, row.question_minutes, row.critical_skips_question)


def policy_version(session: Session, tenant_id: int) -> int:
    """Which version of the rule is in force; 0 where none was set."""
    row = session.get(AlertPolicy, tenant_id)
    return row.version if row is not None else 0


def set_policy(session: Session, tenant_id: int, actor: Actor, given: PolicyIn) -> None:
    """Replace the ladder; ConflictError when somebody else did since."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('labwire.alert_policy'), CAST(:id AS int))"),
        {"id": tenant_id % 2**31},
    )
    row = session.get(AlertPolicy, tenant_id, populate_existing=True)
    refuse_stale(seen=given.version, present=row.version if row is not None else 0, what="the ladder")
    before = as_values(load_policy(session, tenant_id))
    values: dict[str, Any] = given.model_dump(exclude={"version"})
    if row is None:
        row = AlertPolicy(tenant_id=tenant_id, version=1, **values)
        session.add(row)
    else:
        for name, value in values.items():
            setattr(row, name, value)
        row.version += 1
    session.flush()
    changes: dict[str, Any] = {name: [before[name], value] for name, value in values.items() if value != before[name]}
    changes["version"] = [given.version, row.version]
    record(session, tenant_id, actor, Action("alert_policy.set", "alert_policy", tenant_id, changes))


def as_values(policy: Policy) -> dict[str, Any]:
    """The rule as the table and the forms have it."""
    return {
        "ladder": [{"after_minutes": step.after_minutes, "roles": list(step.roles)} for step in policy.ladder],
        "question_minutes": policy.question_minutes,
        "critical_skips_question": policy.critical_skips_question,
    }


def reach(session: Session, tenant_id: int) -> list[Reach]:
    """Whom each step of the ladder in force would tell now."""
    known = contacts(session, tenant_id)
    return [
        Reach(step.after_minutes, {role: list(known.get(role, ())) for role in step.roles})
        for step in load_policy(session, tenant_id).ladder
    ]


def list_contacts(session: Session, tenant_id: int) -> Sequence[AlertContact]:
    """Everybody the ladder can tell."""
    wanted = select(AlertContact).where(AlertContact.tenant_id == tenant_id)
    return session.scalars(wanted.order_by(AlertContact.role, AlertContact.name, AlertContact.id)).all()


def add_contact(session: Session, tenant_id: int, actor: Actor, given: ContactIn) -> AlertContact:
    """A new contact; ConflictError when the role has this address, or the tenant has contacts enough."""
    present = list_contacts(session, tenant_id)
    if any((one.role, one.address) == (given.role, given.address) for one in present):
        raise ConflictError("this role has this address already", field="address")
    if len(present) >= MOST_CONTACTS:
        raise ConflictError(f"there are {MOST_CONTACTS} contacts already")
    contact = AlertContact(tenant_id=tenant_id, **given.model_dump())
    session.add(contact)
    session.flush()
    record(session, tenant_id, actor, Action("alert_contact.create", "alert_contact", contact.id, given.model_dump()))
    return contact


def remove_contact(session: Session, tenant_id: int, actor: Actor, contact_id: int) -> None:
    """Nobody is told at this address any more."""
    contact = _contact(session, tenant_id, contact_id)
    session.delete(contact)
    changes = {"role": contact.role, "address": contact.address}
    record(session, tenant_id, actor, Action("alert_contact.remove", "alert_contact", contact_id, changes))


def try_contact(session: Session, tenant_id: int, actor: Actor, contact_id: int) -> None:
    """Send a mail that says nothing is wrong, so that somebody knows before it matters whether one arrives."""
    contact = _contact(session, tenant_id, contact_id)
    told = Told(contact.role, contact.name, contact.address)
    event_id = publish(session, tenant_id, trial_mail(tenant_id, contact_id, told))
    changes = {"role": contact.role, "address": contact.address, "event_id": event_id}
    record(session, tenant_id, actor, Action("alert_contact.try", "alert_contact", contact_id, changes))


TRIALS = text("""
SELECT DISTINCT ON (a.resource_id) a.resource_id, d.created_at, d.state FROM audit_event a
JOIN delivery d ON d.tenant_id = a.tenant_id AND d.event_id = CAST(a.changes ->> 'event_id' AS bigint)
WHERE a.tenant_id = :tenant_id AND a.resource_type = 'alert_contact' AND a.resource_id = ANY(:contacts)
  AND a.action = 'alert_contact.try'
ORDER BY a.resource_id, a.id DESC
""")


def trials(session: Session, tenant_id: int, contact_ids: Sequence[int]) -> dict[int, Trial]:
    """The newest test mail of each of these contacts that had one."""
    rows = session.execute(TRIALS, {"tenant_id": tenant_id, "contacts": [str(one) for one in contact_ids]})
    return {int(row.resource_id): Trial(row.created_at, row.state) for row in rows}


def _contact(session: Session, tenant_id: int, contact_id: int) -> AlertContact:
    contact = session.get(AlertContact, (tenant_id, contact_id))
    if contact is None:
        raise NotFoundError(f"no alert contact {contact_id}", resource="alert_contact", resource_id=contact_id)
    return contact
