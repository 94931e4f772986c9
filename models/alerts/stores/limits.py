"""Limits in force: the usual ones, the tenant's own, and those of one patient; setting them, and going back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.alerts.rules import BY_KIND, Adjustment, Threshold, adjusted
from models.alerts.schemas import ThresholdIn
from models.alerts.tables import AlertThreshold
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import InvalidError
from models.people.rules import refuse_stale
from models.people.stores.patients import get_patient, refuse_merged

VALUES = ("warning", "critical", "margin", "is_on")


@dataclass(frozen=True, slots=True)
class InForce:
    """One kind's limits as they hold, those that would hold without the own ones, and the own ones' row, if any."""

    limits: Threshold
    inherited: Threshold
    own: AlertThreshold | None

    @property
    def version(self) -> int:
        """Of the own ones; 0 where there are none."""
        return self.own.version if self.own is not None else 0

    @property
    def is_inherited_usual(self) -> bool:
        """Whether those below are the usual ones, which nobody has set."""
        return self.inherited == BY_KIND[self.inherited.kind]


def list_thresholds(session: Session, tenant_id: int, patient_id: int | None = None) -> Sequence[AlertThreshold]:
    """The tenant's own limits, or those of one patient."""
    wanted = select(AlertThreshold).where(
        AlertThreshold.tenant_id == tenant_id, AlertThreshold.patient_id.is_not_distinct_from(patient_id)
    )
    return session.scalars(wanted.order_by(AlertThreshold.kind)).all()


def in_force(session: Session, tenant_id: int, patient_id: int | None = None) -> list[InForce]:
    """Every kind as it holds in the laboratory, or for one patient."""
    tenants = list_thresholds(session, tenant_id)
    patients = list_thresholds(session, tenant_id, patient_id) if patient_id is not None else ()
    below = [as_adjustment(row) for row in tenants] if patient_id is not None else []
    own = {row.kind: row for row in (tenants if patient_id is None else patients)}
    inherited = adjusted(below)
    limits = adjusted([*below, *(as_adjustment(row) for row in own.values())])
    return [InForce(limits[kind], inherited[kind], own.get(kind)) for kind in limits]


def set_threshold(session: Session, tenant_id: int, actor: Actor, given: ThresholdIn) -> AlertThreshold:
    """Set one kind's limits; InvalidError when critical is not beyond warning, with the limits it inherits.

    ConflictError when they are not in the version that was read, where one is given.
    """
    if given.kind not in BY_KIND:
        raise InvalidError("is not a kind of alert", field="kind")
    row = _for_change(session, tenant_id, given.kind, given.patient_id, given.version)
    _refuse_crossed(session, tenant_id, given)
    values = given.model_dump(include=set(VALUES))
    before: dict[str, Any] = dict.fromkeys(VALUES) | {"is_on": True}
    if row is None:
        row = AlertThreshold(tenant_id=tenant_id, kind=given.kind, patient_id=given.patient_id, version=1, **values)
        session.add(row)
    else:
        before = {name: getattr(row, name) for name in VALUES}
        for name, value in values.items():
            setattr(row, name, value)
        row.version += 1
    session.flush()
    changes: dict[str, Any] = {
        name: [before[name], values[name]] for name in VALUES if before[name] != values[name]
    } | {"kind": given.kind, "patient_id": given.patient_id, "version": [row.version - 1, row.version]}
    record(session, tenant_id, actor, Action("alert_threshold.set", "alert_threshold", row.id, changes))
    return row


def remove_threshold(
    session: Session,
    tenant_id: int,
    actor: Actor,
    kind: str,
    *,
    patient_id: int | None = None,
    version: int | None = None,
) -> None:
    """Go back to the usual limits, or a patient to the laboratory's; nothing happens where there are no own ones."""
    if kind not in BY_KIND:
        raise InvalidError("is not a kind of alert", field="kind")
    row = _for_change(session, tenant_id, kind, patient_id, version)
    if row is None:
        return
    session.delete(row)
    session.flush()
    changes = {"kind": kind, "patient_id": patient_id} | {name: getattr(row, name) for name in VALUES}
    record(session, tenant_id, actor, Action("alert_threshold.remove", "alert_threshold", row.id, changes))


def as_adjustment(row: AlertThreshold) -> Adjustment:
    """The row as the rules take it."""
    return Adjustment(row.kind, row.patient_id, row.warning, row.critical, row.margin, row.is_on)


def _for_change(
    session: Session, tenant_id: int, kind: str, patient_id: int | None, version: int | None
) -> AlertThreshold | None:
    """The own row, if there is one, with nobody else at the tenant's limits until the transaction ends."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('labwire.alert_threshold'), CAST(:id AS int))"),
        {"id": tenant_id % 2**31},
    )
    if patient_id is not None:
        refuse_merged(get_patient(session, tenant_id, patient_id, lock=True))
    wanted = select(AlertThreshold).where(
        AlertThreshold.tenant_id == tenant_id,
        AlertThreshold.kind == kind,
        AlertThreshold.patient_id.is_not_distinct_from(patient_id),
    )
    row = session.scalar(wanted.execution_options(populate_existing=True))
    if version is not None:
        refuse_stale(seen=version, present=row.version if row is not None else 0, what="this limit")
    return row


def _refuse_crossed(session: Session, tenant_id: int, given: ThresholdIn) -> None:
    rows = [row for row in list_thresholds(session, tenant_id) if row.kind == given.kind]
    inherited = [as_adjustment(row) for row in rows if given.patient_id is not None]
    own = Adjustment(given.kind, given.patient_id, given.warning, given.critical, given.margin, given.is_on)
    limits = adjusted([*inherited, own])[given.kind]
    if limits.warning is None or limits.critical is None:
        return
    if (limits.critical < limits.warning) if limits.is_high else (limits.critical > limits.warning):
        raise InvalidError("the critical limit lies before the warning limit", field="critical")
