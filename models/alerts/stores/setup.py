"""What a tenant sets: the ladder, whom it tells, and limits of its own or of one patient's."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.alerts.ladder import USUAL, Policy, Step
from models.alerts.rules import BY_KIND, Adjustment, adjusted
from models.alerts.schemas import ContactIn, PolicyIn, ThresholdIn
from models.alerts.tables import AlertContact, AlertPolicy, AlertThreshold
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.people.rules import refuse_stale
from models.people.stores.patients import get_patient

MOST_CONTACTS = 100


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
    values: dict[str, Any] = given.model_dump(exclude={"version"})
    if row is None:
        session.add(AlertPolicy(tenant_id=tenant_id, **values))
    else:
        for name, value in values.items():
            setattr(row, name, value)
        row.version += 1
    session.flush()
    record(session, tenant_id, actor, Action("alert_policy.set", "alert_policy", tenant_id, values))


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
    contact = session.get(AlertContact, (tenant_id, contact_id))
    if contact is None:
        raise NotFoundError(f"no alert contact {contact_id}", resource="alert_contact", resource_id=contact_id)
    session.delete(contact)
    changes = {"role": contact.role, "address": contact.address}
    record(session, tenant_id, actor, Action("alert_contact.remove", "alert_contact", contact_id, changes))


def list_thresholds(session: Session, tenant_id: int, patient_id: int | None = None) -> Sequence[AlertThreshold]:
    """The tenant's own limits, or those of one patient."""
    wanted = select(AlertThreshold).where(
        AlertThreshold.tenant_id == tenant_id, AlertThreshold.patient_id.is_not_distinct_from(patient_id)
    )
    return session.scalars(wanted.order_by(AlertThreshold.kind)).all()


def set_threshold(session: Session, tenant_id: int, actor: Actor, given: ThresholdIn) -> AlertThreshold:
    """Set one kind's limits; InvalidError when critical is not beyond warning, with the limits it inherits."""
    if given.kind not in BY_KIND:
        raise InvalidError("is not a kind of alert", field="kind")
    if given.patient_id is not None:
        get_patient(session, tenant_id, given.patient_id, lock=True)
    _refuse_crossed(session, tenant_id, given)
    present = {row.kind: row for row in list_thresholds(session, tenant_id, given.patient_id)}
    row = present.get(given.kind)
    values = given.model_dump(exclude={"kind", "patient_id"})
    if row is None:
        row = AlertThreshold(tenant_id=tenant_id, kind=given.kind, patient_id=given.patient_id, **values)
        session.add(row)
    else:
        for name, value in values.items():
            setattr(row, name, value)
        row.version += 1
    session.flush()
    changes = given.model_dump()
    record(session, tenant_id, actor, Action("alert_threshold.set", "alert_threshold", row.id, changes))
    return row


def as_adjustment(row: AlertThreshold) -> Adjustment:
    """The row as the rules take it."""
    return Adjustment(row.kind, row.patient_id, row.warning, row.critical, row.margin, row.is_on)


def _refuse_crossed(session: Session, tenant_id: int, given: ThresholdIn) -> None:
    rows = [row for row in list_thresholds(session, tenant_id) if row.kind == given.kind]
    inherited = [as_adjustment(row) for row in rows if given.patient_id is not None]
    own = Adjustment(given.kind, given.patient_id, given.warning, given.critical, given.margin, given.is_on)
    limits = adjusted([*inherited, own])[given.kind]
    if limits.warning is None or limits.critical is None:
        return
    if (limits.critical < limits.warning) if limits.is_high else (limits.critical > limits.warning):
        raise InvalidError("the critical limit lies before the warning limit", field="critical")
