"""Readings into the database: each once, corrections marked, what a rule holds kept apart."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.vitals.measures import MEASURES
from models.vitals.readings import Reading
from models.vitals.rules import BACKFILL_DAYS, Finding, findings

Key = tuple[int, datetime, bytes]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A device's reading that shall be stored."""

    device_id: int
    received_at: datetime
    reading: Reading

    @property
    def key(self) -> Key:
        return self.device_id, self.reading.recorded_at, self.reading.content


@dataclass(frozen=True, slots=True)
class Stored:
    """`vital_sign_id`, or why it is held. `is_new`: it was not there before."""

    vital_sign_id: int | None = None
    alerts_triggered: int = 0
    held: tuple[Finding, ...] = ()
    is_new: bool = True


def store_readings(session: Session, tenant_id: int, wanted: Sequence[Wanted]) -> list[Stored | None]:
    """One result for each, None for a reading of a time when the device was nobody's. Repeated ones answer as at first.

    The caller holds the devices' contact rows, so that nobody else stores readings of them.
    """
    days = session.scalar(POLICY, {"tenant_id": tenant_id}) or BACKFILL_DAYS
    held = {
        each.key: tuple(findings(each.reading, received_at=each.received_at, backfill_days=days)) for each in wanted
    }
    wearers = _Wearers(session, tenant_id, {each.device_id for each in wanted})
    good = [each for each in wanted if not held[each.key]]
    there = _already_there(session, tenant_id, good)
    results: dict[Key, Stored | None] = {key: Stored(held=why) for key, why in held.items() if why}
    new: list[dict[str, Any]] = []
    for each, vital_sign_id in zip(good, _ids(session, len(good)), strict=True):
        if each.key in results:
            continue
        moment = each.key[:2]
        earlier = there.setdefault(moment, {})
        if each.reading.content in earlier:
            known_id, alerts = earlier[each.reading.content]
            results[each.key] = Stored(known_id, alerts, is_new=False)
        elif (patient_id := wearers.at(each.device_id, each.reading.recorded_at)) is None:
            results[each.key] = None
        else:
            corrects = max((known for known, _ in earlier.values()), default=None)
            new.append(_row(each, patient_id) | {"id": vital_sign_id, "corrects_id": corrects})
            earlier[each.reading.content] = (vital_sign_id, 0)
            results[each.key] = Stored(vital_sign_id)
    if new:
        session.execute(INSERT, {"tenant_id": tenant_id, "rows": json.dumps(new)})
    _hold(session, tenant_id, [each for each in wanted if held[each.key]], held)
    return [results[each.key] for each in wanted]


POLICY = text("SELECT backfill_days FROM vitals_policy WHERE tenant_id = :tenant_id")
WEARERS = text("""
SELECT w.device_id, coalesce(p.merged_into_id, p.id) AS patient_id, w.assigned_from, w.assigned_until
FROM device_patient w JOIN patient p ON p.tenant_id = w.tenant_id AND p.id = w.patient_id
WHERE w.tenant_id = :tenant_id AND w.device_id = ANY(:devices) ORDER BY w.device_id, w.assigned_from
FOR KEY SHARE OF p
""")
"""Locked, so that a merge of the patient either moves these readings too or is seen here."""


class _Wearers:
    """Whose a device was at a time."""

    def __init__(self, session: Session, tenant_id: int, devices: set[int]) -> None:
        self._periods: dict[int, list[Any]] = {}
        for row in session.execute(WEARERS, {"tenant_id": tenant_id, "devices": sorted(devices)}):
            self._periods.setdefault(row.device_id, []).append(row)

    def at(self, device_id: int, moment: datetime) -> int | None:
        periods = self._periods.get(device_id, [])
        place = bisect_right(periods, moment, key=lambda period: period.assigned_from) - 1
        if place < 0:
            return None
        period = periods[place]
        return period.patient_id if period.assigned_until is None or moment < period.assigned_until else None


THERE = text("""
SELECT v.device_id, v.recorded_at, v.content, v.id, v.alerts_triggered
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(device_id bigint, recorded_at timestamptz)
JOIN vital_sign v ON v.device_id = r.device_id AND v.recorded_at = r.recorded_at
WHERE v.tenant_id = :tenant_id AND v.recorded_at BETWEEN :first AND :last
""")
"""With the bounds written into the statement only the partitions of these months are looked at."""


def _already_there(
    session: Session, tenant_id: int, wanted: Sequence[Wanted]
) -> dict[tuple[int, datetime], dict[bytes, tuple[int, int]]]:
    moments = sorted({each.key[:2] for each in wanted})
    if not moments:
        return {}
    rows = [{"device_id": device_id, "recorded_at": moment.isoformat()} for device_id, moment in moments]
    bounds = {"first": min(moment for _, moment in moments), "last": max(moment for _, moment in moments)}
    found: dict[tuple[int, datetime], dict[bytes, tuple[int, int]]] = {}
    for row in session.execute(THERE, {"tenant_id": tenant_id, "rows": json.dumps(rows), **bounds}):
        same_time = found.setdefault((row.device_id, row.recorded_at), {})
        same_time[bytes(row.content)] = (row.id, row.alerts_triggered)
    return found


def _ids(session: Session, number: int) -> list[int]:
    if not number:
        return []
    wanted = text("SELECT nextval('vital_sign_id_seq') FROM generate_series(1, :number)")
    return list(session.scalars(wanted, {"number": number}))


_CONVERTED = [measure.name for measure in MEASURES if measure.units]
_COLUMNS = {
    **dict.fromkeys(("id", "patient_id", "device_id", "corrects_id", "signal_quality", "battery_level"), "bigint"),
    **dict.fromkeys((measure.name for measure in MEASURES if measure.is_whole), "bigint"),
    **dict.fromkeys((measure.name for measure in MEASURES if not measure.is_whole), "numeric"),
    **dict.fromkeys((f"{name}_given" for name in _CONVERTED), "numeric"),
    **dict.fromkeys((f"{name}_unit" for name in _CONVERTED), "text"),
    **dict.fromkeys(("recorded_at", "received_at"), "timestamptz"),
    **dict.fromkeys(("notes", "raw", "consciousness"), "text"),
    "supplemental_oxygen": "boolean",
}
INSERT = text(
    f"INSERT INTO vital_sign (tenant_id, data_source, content, {', '.join(_COLUMNS)}) "  # noqa: S608 # our names
    f"SELECT :tenant_id, 'device', decode(r.content, 'hex'), {', '.join(f'r.{name}' for name in _COLUMNS)} "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r("
    f"content text, {', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})"
)


def _row(each: Wanted, patient_id: int) -> dict[str, Any]:
    reading = each.reading
    row: dict[str, Any] = {
        "device_id": each.device_id,
        "patient_id": patient_id,
        "recorded_at": reading.recorded_at.isoformat(),
        "received_at": each.received_at.isoformat(),
        "content": reading.content.hex(),
        "raw": reading.raw,
    }
    for name in ("notes", "signal_quality", "battery_level", "consciousness", "supplemental_oxygen"):
        if (value := getattr(reading, name)) is not None:
            row[name] = value
    for name, measured in reading.values.items():
        row[name] = str(measured.canonical)
        if measured.unit is not None:
            row |= {f"{name}_given": str(measured.given), f"{name}_unit": measured.unit}
    return row


HOLD = text("""
INSERT INTO held_reading (tenant_id, device_id, recorded_at, received_at, content, findings, raw)
SELECT :tenant_id, r.device_id, r.recorded_at, r.received_at, decode(r.content, 'hex'), r.findings, r.raw
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(device_id bigint, recorded_at timestamptz,
     received_at timestamptz, content text, findings jsonb, raw text)
ON CONFLICT (tenant_id, device_id, recorded_at, content) DO NOTHING
""")


def _hold(session: Session, tenant_id: int, wanted: Sequence[Wanted], held: dict[Key, tuple[Finding, ...]]) -> None:
    rows = [
        {
            "device_id": each.device_id,
            "recorded_at": each.reading.recorded_at.isoformat(),
            "received_at": each.received_at.isoformat(),
            "content": each.reading.content.hex(),
            "findings": [{"field": finding.field, "rule": finding.rule} for finding in held[each.key]],
            "raw": each.reading.raw,
        }
        for each in wanted
    ]
    if rows:
        session.execute(HOLD, {"tenant_id": tenant_id, "rows": json.dumps(rows)})
