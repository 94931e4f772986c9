"""Patients with their devices, for whoever goes from bed to bed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.people.tables import Patient
from models.vitals.tables import Device, DeviceContact, DevicePatient


@dataclass(frozen=True, slots=True)
class Watched:
    """A patient, the devices they wear, and when one of these last sent a reading."""

    patient: Patient
    devices: list[str]
    reading_at: datetime | None


def list_watched(
    session: Session,
    tenant_id: int,
    *,
    patient_ids: Sequence[int] | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Watched]:
    """Patients who wear a device now, by name; with `patient_ids` those alone, whether they wear one or not."""
    worn = (
        select(
            DevicePatient.patient_id,
            func.array_agg(Device.name).label("devices"),
            func.max(DeviceContact.reading_at).label("reading_at"),
        )
        .join(Device, (Device.tenant_id == DevicePatient.tenant_id) & (Device.id == DevicePatient.device_id))
        .outerjoin(
            DeviceContact, (DeviceContact.tenant_id == Device.tenant_id) & (DeviceContact.device_id == Device.id)
        )
        .where(DevicePatient.tenant_id == tenant_id, DevicePatient.assigned_until.is_(None))
        .group_by(DevicePatient.patient_id)
        .subquery()
    )
    wanted = (
        select(Patient, worn.c.devices, worn.c.reading_at)
        .join(worn, worn.c.patient_id == Patient.id, isouter=patient_ids is not None)
        .where(Patient.tenant_id == tenant_id)
        .order_by(Patient.family_name, Patient.given_names, Patient.id)
        .limit(limit)
        .offset(offset)
    )
    if patient_ids is not None:
        wanted = wanted.where(Patient.id.in_(patient_ids))
    return [Watched(row[0], sorted(row[1] or []), row[2]) for row in session.execute(wanted)]
