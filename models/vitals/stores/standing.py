"""How a device stands with us: what the documented status answer says."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.people.tables import Patient
from models.vitals.tables import Device, DeviceContact, DevicePatient


def standing(session: Session, tenant_id: int, device_id: int, *, can_read_patient: bool) -> dict[str, Any]:
    """Name, type, whether it is active and somebody's, its last reading; the patient's code where it may be read."""
    wanted = (
        select(Device, DeviceContact.reading_at, Patient.code)
        .outerjoin(
            DeviceContact, (DeviceContact.tenant_id == Device.tenant_id) & (DeviceContact.device_id == Device.id)
        )
        .outerjoin(
            DevicePatient,
            (DevicePatient.tenant_id == Device.tenant_id)
            & (DevicePatient.device_id == Device.id)
            & DevicePatient.assigned_until.is_(None),
        )
        .outerjoin(Patient, (Patient.tenant_id == Device.tenant_id) & (Patient.id == DevicePatient.patient_id))
        .where(Device.tenant_id == tenant_id, Device.id == device_id)
    )
    device, reading_at, code = session.execute(wanted).one()
    answer = {
        "device_id": device.code,
        "device_name": device.name,
        "device_type": device.device_type,
        "is_active": device.is_active,
        "patient_assigned": code is not None,
        "api_key_valid": True,
        "last_reading": reading_at.isoformat().replace("+00:00", "Z") if reading_at else None,
    }
    return answer | ({"patient_id": code} if can_read_patient else {})
