"""Readings into the database: each once, corrections marked, what a rule holds kept apart."""

import json
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.vitals.measures import MEASURES
from models.vitals.readings import Reading
from models.vitals.rules import BACKFILL_DAYS, Finding, findings
from models.vitals.stores.alarming import New, alarm

Key = tuple[int, datetime, bytes]
IDS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A device's reading that shall be stored.

    `findings` hold it beside what the row rules find; `waived` are findings that a person has let pass.
    """

    device_id: int
    received_at: datetime
    reading: Reading
    findings: tuple[Finding, ...] = ()
    waived: frozenset[Finding] = frozenset()

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


def store_readings(
    session: Session, tenant_id: int, wanted: Sequence[Wanted], *, backfill_days: int | None = None
) -> list[Stored | None]:
    """One result for each, None for a reading of a time when the device was nobody's. Repeated ones answer as at first.

    The caller holds the devices' contact rows, so that nobody else stores readings of them.
    """
    days = backfill_days or session.scalar(POLICY, {"tenant_id": tenant_id}) or BACKFILL_DAYS
    held = {each.key: _why_held(each, days) for each in wanted}
    good = [each for each in wanted if not held[each.key]]
    wearers, there = _look(session, tenant_id, good)
    results: dict[Key, Stored | None] = {key: Stored(held=why) for key, why in held.items() if why}
    new: list[dict[str, Any]] = []
    raised: list[New] = []
    for each, vital_sign_id in zip(good, take_ids(session, len(good)), strict=True):
        if each.key in results:
            continue
        moment = each.key[:2]
        earlier = there.setdefault(moment, {})
        if each.reading.content in earlier:
            known_id, known_alerts = earlier[each.reading.content]
            results[each.key] = Stored(known_id, known_alerts, is_new=False)
        elif (patient_id := wearers.at(each.device_id, each.reading.recorded_at)) is None:
            results[each.key] = None
        else:
            corrects = max((known for known, _ in earlier.values()), default=None)
            new.append(_row(each, patient_id) | {"id": vital_sign_id, "corrects_id": corrects})
            raised.append(New(vital_sign_id, patient_id, each.received_at, each.reading))
            earlier[each.reading.content] = (vital_sign_id, 0)
            results[each.key] = Stored(vital_sign_id)
    if new:
        session.execute(INSERT, {"tenant_id": tenant_id, "rows": json.dumps(new)})
    alerts = alarm(session, tenant_id, raised)
    _hold(session, tenant_id, [each for each in wanted if held[each.key]], held)
    return [_with_alerts(results[each.key], alerts) for each in wanted]


def _with_alerts(stored: Stored | None, alerts: Mapping[int, int]) -> Stored | None:
    if stored is None or stored.vital_sign_id is None or stored.vital_sign_id not in alerts:
        return stored
    return replace(stored, alerts_triggered=alerts[stored.vital_sign_id])


def _why_held(each: Wanted, backfill_days: int) -> tuple[Finding, ...]:
    found = (*findings(each.reading, received_at=each.received_at, backfill_days=backfill_days), *each.findings)
    return tuple(finding for finding in found if finding not in each.waived)


POLICY = text("SELECT backfill_days FROM vitals_policy WHERE tenant_id = :tenant_id")
LOOK = text("""
SELECT p.id FROM device_patient w JOIN patient p ON p.tenant_id = w.tenant_id AND p.id = w.patient_id
WHERE w.tenant_id = :tenant_id AND w.device_id = ANY(:devices) ORDER BY p.id FOR KEY SHARE OF p;
SELECT (
    SELECT jsonb_agg(jsonb_build_array(w.device_id, coalesce(p.merged_into_id, p.id), w.assigned_from, w.assigned_until)
                     ORDER BY w.assigned_from)
    FROM device_patient w JOIN patient p ON p.tenant_id = w.tenant_id AND p.id = w.patient_id
    WHERE w.tenant_id = :tenant_id AND w.device_id = ANY(:devices)
) AS wearers, (
    SELECT jsonb_agg(jsonb_build_array(v.device_id, v.recorded_at, encode(v.content, 'hex'), v.id, v.alerts_triggered))
    FROM jsonb_to_recordset(CAST(:moments AS jsonb)) AS r(device_id bigint, recorded_at timestamptz)
    JOIN vital_sign v ON v.device_id = r.device_id AND v.recorded_at = r.recorded_at
    WHERE v.tenant_id = :tenant_id AND v.recorded_at BETWEEN :first AND :last
) AS there
""")
"""In one round trip. Patients are locked first, so that a merge either moves these readings too or is seen here; with
the bounds written into the statement only the partitions of these months are looked at."""


class _Wearers:
    """Whose a device was at a time."""

    def __init__(self, periods: Sequence[Sequence[Any]]) -> None:
        self._periods: dict[int, list[tuple[datetime, datetime | None, int]]] = {}
        for device_id, patient_id, since, until in periods:
            period = (datetime.fromisoformat(since), datetime.fromisoformat(until) if until else None, patient_id)
            self._periods.setdefault(device_id, []).append(period)

    def at(self, device_id: int, moment: datetime) -> int | None:
        periods = self._periods.get(device_id, [])
        place = bisect_right(periods, moment, key=lambda period: period[0]) - 1
        if place < 0:
            return None
        _, until, patient_id = periods[place]
        return patient_id if until is None or moment < until else None


There = dict[tuple[int, datetime], dict[bytes, tuple[int, int]]]


def _look(session: Session, tenant_id: int, wanted: Sequence[Wanted]) -> tuple[_Wearers, There]:
    """Whose the devices were, and which readings of these moments are there: content to id and alerts."""
    if not wanted:
        return _Wearers([]), {}
    moments = sorted({each.key[:2] for each in wanted})
    rows = [{"device_id": device_id, "recorded_at": moment.isoformat()} for device_id, moment in moments]
    values = {
        "tenant_id": tenant_id,
        "devices": sorted({device_id for device_id, _ in moments}),
        "moments": json.dumps(rows),
        "first": min(moment for _, moment in moments),
        "last": max(moment for _, moment in moments),
    }
    found = session.execute(LOOK, values).one()
    there: There = {}
    for device_id, moment, content, vital_sign_id, alerts in found.there or ():
        same_time = there.setdefault((device_id, datetime.fromisoformat(moment)), {})
        same_time[bytes.fromhex(content)] = (vital_sign_id, alerts)
    return _Wearers(found.wearers or ()), there


_reserved: deque[int] = deque()
_reserving = threading.Lock()


def take_ids(session: Session, number: int) -> list[int]:
    """Numbers for readings to come, reserved in blocks; those of a transaction that fails are never used."""
    with _reserving:
        while len(_reserved) < number:
            wanted = text("SELECT nextval('vital_sign_id_seq') FROM generate_series(1, :number)")
            _reserved.extend(session.scalars(wanted, {"number": max(IDS_AT_ONCE, number)}))
        return [_reserved.popleft() for _ in range(number)]


def forget_ids() -> None:
    """As after a restart."""
    with _reserving:
        _reserved.clear()


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
    "FROM json_to_recordset(CAST(:rows AS json)) AS r("
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
FROM json_to_recordset(CAST(:rows AS json)) AS r(device_id bigint, recorded_at timestamptz,
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
