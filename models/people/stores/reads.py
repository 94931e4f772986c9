"""Who looked at whom: every reading of a patient's data is an audit row, and can be listed by patient."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record_many
from models.kernel.tables import AuditEvent
from models.people.tables import Patient

LOG_READ = "patient.access_log"
READS = ("patient.read", LOG_READ)


@dataclass(frozen=True, slots=True)
class Reading:
    """Somebody looked at a patient; `patient_id` is the record as it was called then."""

    occurred_at: datetime
    actor_kind: str
    actor_id: str
    actor_label: str
    action: str
    patient_id: int
    ip_address: str | None


def note_read(
    session: Session, tenant_id: int, actor: Actor, patient_ids: Iterable[int], *, action: str = "patient.read"
) -> None:
    """Audit that `actor` is being shown data of these patients, once for each."""
    ids = dict.fromkeys(patient_ids)
    record_many(session, tenant_id, actor, [Action(action, "patient", one, {}) for one in ids])


def list_reads(
    session: Session, tenant_id: int, patient_id: int, *, page: int = 1, size: int = 50
) -> tuple[list[Reading], int]:
    """Who looked at this patient, or at a record since merged into theirs, the latest first; and how often in all."""
    same = select(Patient.id).where(
        Patient.tenant_id == tenant_id, or_(Patient.id == patient_id, Patient.merged_into_id == patient_id)
    )
    names = [str(one) for one in session.scalars(same)]
    conditions = (
        AuditEvent.tenant_id == tenant_id,
        AuditEvent.resource_type == "patient",
        AuditEvent.resource_id.in_(names),
        AuditEvent.action.in_(READS),
    )
    total = session.scalar(select(func.count()).select_from(AuditEvent).where(*conditions)) or 0
    wanted = select(AuditEvent).where(*conditions).order_by(AuditEvent.id.desc())
    rows = session.scalars(wanted.limit(size).offset((page - 1) * size))
    return [
        Reading(
            occurred_at=row.occurred_at,
            actor_kind=row.actor_kind,
            actor_id=row.actor_id,
            actor_label=row.actor_label,
            action=row.action,
            patient_id=int(row.resource_id),
            ip_address=row.ip_address,
        )
        for row in rows
    ], total
