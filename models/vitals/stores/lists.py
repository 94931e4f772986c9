"""Readings and what devices asked of us, the newest first and by the page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.people.tables import Patient
from models.vitals.cursors import Place
from models.vitals.entries import DataSource
from models.vitals.tables import Device, DeviceActivity, DeviceKey, VitalSign


@dataclass(frozen=True, slots=True)
class ReadingFilter:
    """Which readings are wanted; `since` is included, `until` is not."""

    patient_id: int | None = None
    device_code: str = ""
    data_source: DataSource | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedReading:
    """A reading with the codes of its patient and device; `corrected_by_id` is the later reading that corrects it."""

    row: VitalSign
    patient_code: str
    device_code: str | None
    corrected_by_id: int | None = None


def list_readings(
    session: Session, tenant_id: int, wanted: ReadingFilter, *, after: Place | None = None, limit: int = 100
) -> tuple[list[ListedReading], Place | None]:
    """A page and where the next begins (None: there is none): by their time, or by arrival where nobody's is asked for.

    Only of one patient or device are readings kept in the order of time; of everybody that order would read them all.
    """
    by_time = wanted.patient_id is not None or bool(wanted.device_code)
    query = (
        select(VitalSign, Patient.code, Device.code)
        .join(Patient, (Patient.tenant_id == VitalSign.tenant_id) & (Patient.id == VitalSign.patient_id))
        .outerjoin(Device, (Device.tenant_id == VitalSign.tenant_id) & (Device.id == VitalSign.device_id))
        .where(VitalSign.tenant_id == tenant_id)
    )
    if wanted.patient_id is not None:
        query = query.where(VitalSign.patient_id == wanted.patient_id)
    if wanted.device_code:
        own = select(Device.id).where(Device.tenant_id == tenant_id, Device.code == wanted.device_code)
        query = query.where(VitalSign.device_id == (session.scalar(own) or 0))
    if wanted.data_source is not None:
        query = query.where(VitalSign.data_source == wanted.data_source)
    if wanted.since is not None:
        query = query.where(VitalSign.recorded_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(VitalSign.recorded_at < wanted.until)
    if by_time:
        query = query.order_by(VitalSign.recorded_at.desc(), VitalSign.id.desc())
        if after is not None:
            query = query.where(_before(VitalSign.recorded_at, VitalSign.id, after))
    else:
        query = query.order_by(VitalSign.id.desc())
        if after is not None:
            query = query.where(VitalSign.id < after.id)
    rows = [ListedReading(*found) for found in session.execute(query.limit(limit + 1))]
    last = rows[limit - 1].row if len(rows) > limit else None
    following = Place(last.recorded_at, last.id) if last is not None else None
    return _with_corrections(session, tenant_id, rows[:limit]), following


def _with_corrections(session: Session, tenant_id: int, rows: list[ListedReading]) -> list[ListedReading]:
    """Each reading with the one that corrects it, which is of the same patient and time."""
    wanted = select(VitalSign.corrects_id, VitalSign.id).where(
        VitalSign.tenant_id == tenant_id,
        VitalSign.patient_id.in_({one.row.patient_id for one in rows}),
        VitalSign.recorded_at.in_({one.row.recorded_at for one in rows}),
        VitalSign.corrects_id.in_({one.row.id for one in rows}),
    )
    later = {found.corrects_id: found.id for found in session.execute(wanted)} if rows else {}
    return [replace(one, corrected_by_id=later.get(one.row.id)) for one in rows]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of a device and the key it showed."""

    row: DeviceActivity
    key_name: str | None
    key_prefix: str | None


def list_activity(
    session: Session, tenant_id: int, device_id: int, *, after: Place | None = None, limit: int = 50
) -> tuple[Sequence[Asked], Place | None]:
    """A page of what the device asked and was answered, the newest first, and where the next begins."""
    query = (
        select(DeviceActivity, DeviceKey.name, DeviceKey.prefix)
        .outerjoin(
            DeviceKey, (DeviceKey.tenant_id == DeviceActivity.tenant_id) & (DeviceKey.id == DeviceActivity.key_id)
        )
        .where(DeviceActivity.tenant_id == tenant_id, DeviceActivity.device_id == device_id)
        .order_by(DeviceActivity.at.desc(), DeviceActivity.id.desc())
    )
    if after is not None:
        query = query.where(_before(DeviceActivity.at, DeviceActivity.id, after))
    rows = [Asked(*found) for found in session.execute(query.limit(limit + 1))]
    last = rows[limit - 1].row if len(rows) > limit else None
    return rows[:limit], Place(last.at, last.id) if last is not None else None


def _before(
    at: InstrumentedAttribute[datetime], number: InstrumentedAttribute[int], after: Place
) -> ColumnElement[bool]:
    """Rows further down the list; the first condition alone is what leaves out later months."""
    return and_(at <= after.moment, or_(at < after.moment, number < after.id))
