"""Readings that came in files: of many devices of one tenant at once, stored as the devices' door stores them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.kernel.pipeline import Pipeline, as_json
from models.vitals.readings import Reading
from models.vitals.rules import BACKFILL_DAYS, Finding
from models.vitals.stores.gate import NOTE_CONTACT, WRITE_DOWN, heard
from models.vitals.stores.looking import Wanted
from models.vitals.stores.storing import POLICY, Stored, store_readings
from models.vitals.tables import Device

MOST_AT_ONCE = 5_000
"""Readings of one transaction: the devices' own requests wait for no more than that."""
DOOR, NO_KEY = "file", 0

Fate = Literal["stored", "repeated", "held", "unassigned"]
"""What became of a reading; unassigned: the device was nobody's at that time, and it is not stored."""


@dataclass(frozen=True, slots=True)
class FileDevice:
    """What must be known of a device before its readings can be read; `time_zone` is an IANA name or nothing."""

    id: int
    time_zone: str | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class FileReading:
    """A reading of a known device; `findings` are what the suite holds it for, beside the row rules."""

    device_id: int
    reading: Reading
    findings: tuple[Finding, ...] = ()


def devices_by_code(session: Session, tenant_id: int, codes: Iterable[str]) -> dict[str, FileDevice]:
    """The devices of the tenant that name themselves so; those it has not are missing."""
    wanted = select(Device.code, Device.id, Device.time_zone, Device.is_active).where(
        Device.tenant_id == tenant_id, Device.code.in_(sorted(set(codes)))
    )
    return {row.code: FileDevice(row.id, row.time_zone, row.is_active) for row in session.execute(wanted)}


def store_file_readings(
    session: Session, tenant_id: int, received_at: datetime, wanted: Sequence[FileReading]
) -> list[Fate]:
    """What became of each of at most `MOST_AT_ONCE` readings; storing one again changes nothing.

    The contact rows of their devices are held in the order of ids, as at the devices' door.
    """
    if len(wanted) > MOST_AT_ONCE:
        raise ValueError("too many readings for one transaction")
    if not wanted:
        return []
    pipeline = Pipeline(session)
    minute = received_at.replace(second=0, microsecond=0)
    pipeline.put(NOTE_CONTACT, tenant_id, minute, as_json(_contacts(received_at, wanted)))
    pipeline.put(WRITE_DOWN, tenant_id, as_json(_activity(received_at, wanted)))
    pipeline.send()
    rows = [Wanted(each.device_id, received_at, each.reading, each.findings) for each in wanted]
    fates: list[Fate] = []
    seen: set[tuple[int, datetime, bytes]] = set()
    for row, stored in zip(rows, store_readings(session, tenant_id, rows), strict=True):
        fates.append(_fate(stored, is_seen=row.key in seen))
        seen.add(row.key)
    return fates


def _fate(stored: Stored | None, *, is_seen: bool) -> Fate:
    if stored is None:
        return "unassigned"
    if stored.held:
        return "held"
    return "stored" if stored.is_new and not is_seen else "repeated"


def _contacts(received_at: datetime, wanted: Sequence[FileReading]) -> list[dict[str, Any]]:
    """When each device was heard of, with battery and signal of its latest reading."""
    readings: dict[int, list[Reading]] = {}
    for each in wanted:
        readings.setdefault(each.device_id, []).append(each.reading)
    common = {"contact_at": received_at}
    return [common | {"device_id": device_id} | heard(of, received_at) for device_id, of in readings.items()]


def _activity(received_at: datetime, wanted: Sequence[FileReading]) -> list[dict[str, Any]]:
    """One row for each device: no key was shown and no address is known."""
    numbers = Counter(each.device_id for each in wanted)
    common = {"at": received_at, "key_id": NO_KEY, "door": DOOR, "status": 200}
    return [common | {"device_id": device_id, "readings": number} for device_id, number in numbers.items()]


def backfill_limit(session: Session, tenant_id: int) -> int:
    """How many days old a reading may be."""
    return session.scalar(POLICY, {"tenant_id": tenant_id}) or BACKFILL_DAYS
