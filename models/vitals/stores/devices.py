"""Devices of one tenant and whose they are, with the history: a reading belongs to the patient of its own time."""

from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.people.rules import refuse_stale
from models.people.stores.patients import living_patient
from models.people.tables import Patient
from models.vitals.schemas import DeviceEdit, DeviceIn, DeviceSummary, WearerIn
from models.vitals.tables import Device, DeviceContact, DeviceKey, DevicePatient

EDITED = ("code", "name", "device_type", "time_zone", "is_active", "silence_minutes", "rate_per_minute")
ENDING = timedelta(days=30)
"""A key that ends within this time is pointed out."""


def get_device(session: Session, tenant_id: int, device_id: int, *, lock: bool = False) -> Device:
    """NotFoundError when the tenant has none of this id."""
    wanted = select(Device).where(Device.tenant_id == tenant_id, Device.id == device_id)
    device = session.scalar(wanted.with_for_update() if lock else wanted)
    if device is None:
        raise NotFoundError(f"no device {device_id}", resource="device", resource_id=device_id)
    return device


def find_device(session: Session, tenant_id: int, code: str) -> Device:
    """The device that names itself so; NotFoundError."""
    device = session.scalar(select(Device).where(Device.tenant_id == tenant_id, Device.code == code.strip()))
    if device is None:
        raise NotFoundError("no device names itself so", field="device_id")
    return device


def create_device(session: Session, tenant_id: int, actor: Actor, given: DeviceIn) -> Device:
    """ConflictError when another device of the tenant names itself so."""
    device = Device(tenant_id=tenant_id, **_columns(given))
    session.add(device)
    _flush(session)
    session.refresh(device)
    changes = {name: getattr(device, name) for name in EDITED}
    record(session, tenant_id, actor, Action("device.create", "device", device.id, changes))
    return device


def edit_device(session: Session, tenant_id: int, actor: Actor, device_id: int, given: DeviceEdit) -> Device:
    """ConflictError when somebody changed it meanwhile or the name it gives itself is another's."""
    device = get_device(session, tenant_id, device_id, lock=True)
    refuse_stale(seen=given.version, present=device.version, what=f"device {device.id}")
    columns = _columns(given)
    changes = {
        name: [getattr(device, name), columns[name]] for name in EDITED if getattr(device, name) != columns[name]
    }
    if not changes:
        return device
    for name, value in columns.items():
        setattr(device, name, value)
    changes["version"] = [device.version, device.version + 1]
    device.version += 1
    _flush(session)
    record(session, tenant_id, actor, Action("device.edit", "device", device.id, changes))
    return device


def assign_patient(session: Session, tenant_id: int, actor: Actor, device_id: int, given: WearerIn) -> None:
    """From a moment on it is this patient's. InvalidError for a moment in the future or before the last change."""
    device = get_device(session, tenant_id, device_id, lock=True)
    now = utc_now()
    since = given.since or now
    if since > now:
        raise InvalidError("must not lie in the future", field="since")
    latest = session.scalar(
        select(DevicePatient)
        .where(DevicePatient.tenant_id == tenant_id, DevicePatient.device_id == device.id)
        .order_by(DevicePatient.assigned_from.desc())
        .limit(1)
    )
    if latest is not None and since <= (latest.assigned_until or latest.assigned_from):
        raise InvalidError("lies before the last change of this device", field="since")
    if given.patient_id is not None:
        living_patient(session, tenant_id, given.patient_id)
    if latest is not None and latest.assigned_until is None:
        latest.assigned_until = since
        session.flush()
    if given.patient_id is not None:
        row = DevicePatient(tenant_id=tenant_id, device_id=device.id, patient_id=given.patient_id, assigned_from=since)
        session.add(row)
    changes = {"patient_id": given.patient_id, "since": since}
    record(session, tenant_id, actor, Action("device.assign", "device", device.id, changes))


def history(session: Session, tenant_id: int, device_id: int) -> list[tuple[datetime, datetime | None, int, str]]:
    """From, until, patient id and code, the latest first."""
    wanted = (
        select(DevicePatient.assigned_from, DevicePatient.assigned_until, Patient.id, Patient.code)
        .join(Patient, (Patient.tenant_id == DevicePatient.tenant_id) & (Patient.id == DevicePatient.patient_id))
        .where(DevicePatient.tenant_id == tenant_id, DevicePatient.device_id == device_id)
        .order_by(DevicePatient.assigned_from.desc())
    )
    return [(row[0], row[1], row[2], row[3]) for row in session.execute(wanted)]


def list_devices(session: Session, tenant_id: int, *, device_id: int | None = None) -> list[DeviceSummary]:
    """Devices by name with patient, last contact, battery and the state of their keys."""
    now = utc_now()
    ends = (
        select(
            DeviceKey.tenant_id,
            DeviceKey.device_id,
            func.max(func.coalesce(DeviceKey.expires_at, now + ENDING * 2)).label("ends_at"),
        )
        .where(DeviceKey.tenant_id == tenant_id, DeviceKey.revoked_at.is_(None))
        .group_by(DeviceKey.tenant_id, DeviceKey.device_id)
        .subquery()
    )
    wanted = (
        select(Device, DeviceContact, Patient.id, Patient.code, ends.c.ends_at)
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
        .outerjoin(ends, (ends.c.tenant_id == Device.tenant_id) & (ends.c.device_id == Device.id))
        .where(Device.tenant_id == tenant_id)
        .order_by(Device.name, Device.id)
    )
    if device_id is not None:
        wanted = wanted.where(Device.id == device_id)
    return [_summary(*row, now=now) for row in session.execute(wanted)]


def close_silence(session: Session, tenant_id: int, device_ids: list[int]) -> None:
    """A device that was silent is heard of again."""
    session.execute(
        update(DeviceContact)
        .where(
            DeviceContact.tenant_id == tenant_id,
            DeviceContact.device_id.in_(device_ids),
            DeviceContact.silence_told_at.is_not(None),
        )
        .values(silence_told_at=None)
    )


def _summary(
    device: Device,
    contact: DeviceContact | None,
    patient_id: int | None,
    patient_code: str | None,
    ends_at: datetime | None,
    *,
    now: datetime,
) -> DeviceSummary:
    key_state = "none" if ends_at is None or ends_at <= now else ("ending" if ends_at <= now + ENDING else "valid")
    return DeviceSummary(
        id=device.id,
        device_id=device.code,
        name=device.name,
        device_type=device.device_type,
        time_zone=device.time_zone or "",
        is_active=device.is_active,
        silence_minutes=device.silence_minutes,
        rate_per_minute=device.rate_per_minute,
        version=device.version,
        patient_id=patient_id,
        patient_code=patient_code,
        contact_at=contact.contact_at if contact else None,
        reading_at=contact.reading_at if contact else None,
        battery_level=contact.battery_level if contact else None,
        signal_quality=contact.signal_quality if contact else None,
        key_state=key_state,
    )


def _columns(given: DeviceIn) -> dict[str, object]:
    columns = given.model_dump(exclude={"device_id", "version"})
    return columns | {"code": given.device_id, "time_zone": given.time_zone or None}


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError:
        raise ConflictError("another device names itself so", field="device_id") from None
