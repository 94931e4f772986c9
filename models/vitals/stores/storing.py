"""Readings into the database: each once, corrections marked, what a rule holds kept apart."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.kernel.pipeline import Pipeline, Prepared, as_json
from models.vitals.measures import MEASURES
from models.vitals.rules import BACKFILL_DAYS, Finding, findings
from models.vitals.stores.alarming import New, alarm
from models.vitals.stores.looking import Key, Known, Wanted, look

IDS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Stored:
    """`vital_sign_id`, or why it is held. `is_new`: it was not there before."""

    vital_sign_id: int | None = None
    alerts_triggered: int = 0
    held: tuple[Finding, ...] = ()
    is_new: bool = True


@dataclass(slots=True)
class Storing:
    """What becomes of each reading as far as it is known before alerts are raised, and which are new."""

    stored: list[Stored | None]
    new: list[New]

    def alarm(self, pipeline: Pipeline, tenant_id: int) -> list[Stored | None]:
        """Raise what the new readings raise; the results, with the alerts counted."""
        alerts = alarm(pipeline, tenant_id, self.new)
        if not alerts:
            return self.stored
        return [
            replace(each, alerts_triggered=alerts[each.vital_sign_id])
            if each is not None and each.vital_sign_id in alerts
            else each
            for each in self.stored
        ]


def store_readings(session: Session, tenant_id: int, wanted: Sequence[Wanted]) -> list[Stored | None]:
    """One result for each, None for a reading of a time when the device was nobody's. Repeated ones answer as at first.

    The caller holds the devices' contact rows, so that nobody else stores readings of them.
    """
    days = session.scalar(POLICY, {"tenant_id": tenant_id}) or BACKFILL_DAYS
    pipeline = Pipeline(session)
    known = look(pipeline, tenant_id, [each.key[:2] for each in wanted])
    stored = put_readings(pipeline, tenant_id, wanted, known, backfill_days=days).alarm(pipeline, tenant_id)
    pipeline.send()
    return stored


def put_readings(
    pipeline: Pipeline, tenant_id: int, wanted: Sequence[Wanted], known: Known, *, backfill_days: int
) -> Storing:
    """Have the new ones stored and the bad ones held with the pipeline's next statements."""
    held = {each.key: why for each in wanted if (why := _why_held(each, backfill_days))}
    good = [each for each in wanted if each.key not in held]
    results: dict[Key, Stored | None] = {key: Stored(held=why) for key, why in held.items()}
    rows: list[dict[str, Any]] = []
    new: list[New] = []
    for each, vital_sign_id in zip(good, take_ids(pipeline.session, len(good)), strict=True):
        if each.key in results:
            continue
        earlier = known.there.setdefault(each.key[:2], {})
        if each.reading.content in earlier:
            known_id, known_alerts = earlier[each.reading.content]
            results[each.key] = Stored(known_id, known_alerts, is_new=False)
        elif (patient_id := known.wearer(each.device_id, each.reading.recorded_at)) is None:
            results[each.key] = None
        else:
            corrects = max((there for there, _ in earlier.values()), default=None)
            rows.append(_row(each, patient_id) | {"id": vital_sign_id, "corrects_id": corrects})
            new.append(New(vital_sign_id, patient_id, each.received_at, each.reading))
            earlier[each.reading.content] = (vital_sign_id, 0)
            results[each.key] = Stored(vital_sign_id)
    if rows:
        pipeline.put(INSERT, tenant_id, as_json(rows))
    if held:
        pipeline.put(HOLD, tenant_id, as_json([_held_row(each, held[each.key]) for each in wanted if each.key in held]))
    return Storing([results[each.key] for each in wanted], new)


def _why_held(each: Wanted, backfill_days: int) -> tuple[Finding, ...]:
    found = (*findings(each.reading, received_at=each.received_at, backfill_days=backfill_days), *each.findings)
    return tuple(finding for finding in found if finding not in each.waived)


POLICY = text("SELECT backfill_days FROM vitals_policy WHERE tenant_id = :tenant_id")
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
INSERT = Prepared(
    "vitals_insert",
    "bigint, json",
    f"INSERT INTO vital_sign (tenant_id, data_source, content, {', '.join(_COLUMNS)}) "  # noqa: S608 # our names
    f"SELECT $1, 'device', decode(r.content, 'hex'), {', '.join(f'r.{name}' for name in _COLUMNS)} "
    "FROM json_to_recordset($2) AS r("
    f"content text, {', '.join(f'{name} {kind}' for name, kind in _COLUMNS.items())})",
)


def _row(each: Wanted, patient_id: int) -> dict[str, Any]:
    reading = each.reading
    row: dict[str, Any] = {
        "device_id": each.device_id,
        "patient_id": patient_id,
        "recorded_at": reading.recorded_at,
        "received_at": each.received_at,
        "content": reading.content,
        "raw": reading.raw,
    }
    for name in ("notes", "signal_quality", "battery_level", "consciousness", "supplemental_oxygen"):
        if (value := getattr(reading, name)) is not None:
            row[name] = value
    for name, measured in reading.values.items():
        row[name] = measured.canonical
        if measured.unit is not None:
            row |= {f"{name}_given": measured.given, f"{name}_unit": measured.unit}
    return row


HOLD = Prepared(
    "vitals_hold",
    "bigint, json",
    "INSERT INTO held_reading (tenant_id, device_id, recorded_at, received_at, content, findings, raw) "
    "SELECT $1, r.device_id, r.recorded_at, r.received_at, decode(r.content, 'hex'), r.findings, r.raw "
    "FROM json_to_recordset($2) AS r(device_id bigint, recorded_at timestamptz, received_at timestamptz, "
    "content text, findings jsonb, raw text) ON CONFLICT (tenant_id, device_id, recorded_at, content) DO NOTHING",
)


def _held_row(each: Wanted, why: Sequence[Finding]) -> dict[str, Any]:
    return {
        "device_id": each.device_id,
        "recorded_at": each.reading.recorded_at,
        "received_at": each.received_at,
        "content": each.reading.content,
        "findings": [{"field": finding.field, "rule": finding.rule} for finding in why],
        "raw": each.reading.raw,
    }
