"""Readings that a rule holds: seen by people, and let in or turned away by them, with a reason."""

from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.vitals.entries import HeldDecision
from models.vitals.readings import Reading, load, parse
from models.vitals.rules import Finding
from models.vitals.stores.devices import get_device
from models.vitals.stores.looking import Wanted
from models.vitals.stores.storing import store_readings
from models.vitals.tables import Device, DeviceContact, DevicePatient, HeldReading


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A held reading, its device, and the patient whose device it was at that time."""

    row: HeldReading
    device_code: str
    device_name: str
    patient_id: int | None


def list_held(
    session: Session, tenant_id: int, *, is_open: bool = True, limit: int = 50, offset: int = 0
) -> tuple[list[HeldRow], int]:
    """Those that wait for a decision, or those decided, the newest first; and how many there are."""
    state = HeldReading.settled_at.is_(None) if is_open else HeldReading.settled_at.is_not(None)
    conditions = (HeldReading.tenant_id == tenant_id, state)
    total = session.scalar(select(func.count()).select_from(HeldReading).where(*conditions)) or 0
    wanted = _rows().where(*conditions).order_by(HeldReading.id.desc()).limit(limit).offset(offset)
    return [HeldRow(*found) for found in session.execute(wanted)], total


def get_held(session: Session, tenant_id: int, held_id: int, *, lock: bool = False) -> HeldRow:
    """NotFoundError when the tenant has none of this id."""
    wanted = _rows().where(HeldReading.tenant_id == tenant_id, HeldReading.id == held_id)
    if lock:  # locked first and read in a second statement: after a wait the joined rows would be the old ones
        mine = select(HeldReading.id).where(HeldReading.tenant_id == tenant_id, HeldReading.id == held_id)
        session.execute(mine.with_for_update())
    found = session.execute(wanted).one_or_none()
    if found is None:
        message = f"no held reading {held_id}"
        raise NotFoundError(message, resource="held_reading", resource_id=held_id)
    return HeldRow(*found)


def release_held(
    session: Session, tenant_id: int, actor: Actor, held_id: int, given: HeldDecision
) -> tuple[HeldReading, int]:
    """Let it in as any other reading, with the rules that held it waived; the vital sign's id.

    ConflictError when it is decided already, was nobody's at its time, or another rule holds it by now.
    """
    held = get_held(session, tenant_id, held_id, lock=True).row
    _refuse_decided(held)
    device = get_device(session, tenant_id, held.device_id)
    waived = frozenset(Finding(one["field"], one["rule"]) for one in held.findings)
    # Received now: hours after it was measured it must not alarm anybody as if it told how the patient is.
    wanted = Wanted(held.device_id, utc_now(), _again(held, device), waived=waived)
    # Whoever stores readings of a device holds the row of its last contact, which says what was stored before.
    session.execute(
        update(DeviceContact)
        .where(DeviceContact.tenant_id == tenant_id, DeviceContact.device_id == device.id)
        .values(latest_before_at=DeviceContact.latest_at)
    )
    (stored,) = store_readings(session, tenant_id, [wanted])
    if stored is None:
        raise ConflictError(f"the device of held reading {held_id} was nobody's at that time: assign it, or discard")
    if stored.vital_sign_id is None:
        raise ConflictError(f"held reading {held_id} breaks another rule by now")
    _settle(held, "released")
    changes = {
        "device_id": device.id,
        "waived": [one["rule"] for one in held.findings],
        "vital_sign_id": stored.vital_sign_id,
        "reason": given.reason,
    }
    record(session, tenant_id, actor, Action("held_reading.release", "held_reading", held.id, changes))
    session.flush()
    return held, stored.vital_sign_id


def discard_held(session: Session, tenant_id: int, actor: Actor, held_id: int, given: HeldDecision) -> HeldReading:
    """It stays as received and never becomes a vital sign; ConflictError when it is decided already."""
    held = get_held(session, tenant_id, held_id, lock=True).row
    _refuse_decided(held)
    _settle(held, "discarded")
    changes = {"device_id": held.device_id, "reason": given.reason}
    record(session, tenant_id, actor, Action("held_reading.discard", "held_reading", held.id, changes))
    session.flush()
    return held


def as_received(held: HeldReading) -> dict[str, Any]:
    """The fields as they were received; empty when they cannot be read."""
    try:
        given = load(held.raw.encode())
    except InvalidError:
        return {}
    return given if isinstance(given, dict) else {}


def _rows() -> Any:
    at_that_time = (
        select(DevicePatient.patient_id)
        .where(
            DevicePatient.tenant_id == HeldReading.tenant_id,
            DevicePatient.device_id == HeldReading.device_id,
            DevicePatient.assigned_from <= HeldReading.recorded_at,
            func.coalesce(DevicePatient.assigned_until > HeldReading.recorded_at, True),
        )
        .limit(1)
        .scalar_subquery()
    )
    return select(HeldReading, Device.code, Device.name, at_that_time).join(
        Device, (Device.tenant_id == HeldReading.tenant_id) & (Device.id == HeldReading.device_id)
    )


def _again(held: HeldReading, device: Device) -> Reading:
    """The reading once more; its time and content stay what they were when it came."""
    given = as_received(held)
    zone = ZoneInfo(device.time_zone) if device.time_zone else ZoneInfo("UTC")
    return replace(parse(given, zone=zone, raw=held.raw), recorded_at=held.recorded_at, content=held.content)


def _refuse_decided(held: HeldReading) -> None:
    if held.settled_at is not None:
        raise ConflictError(f"held reading {held.id} is {held.settlement} already")


def _settle(held: HeldReading, settlement: str) -> None:
    held.settled_at, held.settlement = utc_now(), settlement
