"""What devices ask of us, let in group by group: one tenant, one transaction, a few statements for all of them.

Whether a key opens the door is asked here, in the transaction that lets something in: a revoked key is refused by every
process at once. The row of a device's last contact is taken first, so that its readings come in one after the other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.vitals.readings import Reading
from models.vitals.rules import BACKFILL_DAYS
from models.vitals.stores.storing import Stored, Wanted, store_readings

DEVICE_RATE, TENANT_RATE = 1_200, 600_000
"""Readings a minute where neither device nor tenant says otherwise."""
UNASSIGNED = "Device not assigned to patient"


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a device whose key is known. `refused` (status, reason): it is only written down."""

    key_id: int
    device_id: int
    door: str
    received_at: datetime
    ip_address: str | None = None
    readings: tuple[Reading, ...] = ()
    refused: tuple[int, str] | None = None
    writes: bool = True


@dataclass(slots=True)
class Outcome:
    """What became of it; `stored` in the order of the readings, None where one belongs to nobody."""

    status: int = 200
    error: str | None = None
    stored: list[Stored | None] = field(default_factory=list)
    can_read_patient: bool = False


@dataclass(frozen=True, slots=True)
class Rates:
    """Readings of the running minute after this group, and how many may be, by device; 0 is the whole tenant."""

    minute: datetime
    counts: dict[int, int]
    limits: dict[int, int]


def admit(session: Session, tenant_id: int, requests: Sequence[Request]) -> tuple[list[Outcome], Rates | None]:
    """Let in what may come in and write down all of it; the caller commits, and answers after that."""
    outcomes, limits, backfill_days = _at_the_gate(session, tenant_id, requests)
    let_in = [index for index, outcome in enumerate(outcomes) if outcome.status == 200]
    rates = None
    if let_in:
        rates = _note_contact(session, tenant_id, [requests[index] for index in let_in], limits)
        wanted = _wanted(requests, let_in)
        for (index, _), stored in zip(wanted, _stored(session, tenant_id, wanted, backfill_days), strict=True):
            outcomes[index].stored.append(stored)
        _refuse_unassigned(requests, outcomes)
    _write_down(session, tenant_id, requests, outcomes)
    return outcomes, rates


GATE = text("""
SELECT k.id, k.device_id, k.can_write_vitals, k.can_read_patient, d.is_active,
       k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AS is_valid,
       coalesce(d.rate_per_minute, p.device_rate_per_minute) AS device_rate, p.tenant_rate_per_minute AS tenant_rate,
       p.backfill_days
FROM device_key k JOIN device d ON d.tenant_id = k.tenant_id AND d.id = k.device_id
LEFT JOIN vitals_policy p ON p.tenant_id = k.tenant_id
WHERE k.tenant_id = :tenant_id AND k.id = ANY(:keys)
""")


def _at_the_gate(
    session: Session, tenant_id: int, requests: Sequence[Request]
) -> tuple[list[Outcome], dict[int, int], int]:
    keys = sorted({request.key_id for request in requests})
    gates = {row.id: row for row in session.execute(GATE, {"tenant_id": tenant_id, "keys": keys})}
    outcomes = []
    for request in requests:
        gate = gates.get(request.key_id)
        if gate is None or not gate.is_valid:
            outcomes.append(Outcome(401, "Invalid API key"))
        elif request.writes and not gate.is_active:
            outcomes.append(Outcome(401, "API key not active"))
        elif request.refused is not None:
            outcomes.append(Outcome(*request.refused))
        elif request.writes and not gate.can_write_vitals:
            outcomes.append(Outcome(403, "API key lacks permission"))
        else:
            outcomes.append(Outcome(can_read_patient=gate.can_read_patient))
    limits = {gate.device_id: gate.device_rate or DEVICE_RATE for gate in gates.values()}
    limits[0] = next((gate.tenant_rate for gate in gates.values()), None) or TENANT_RATE
    backfill_days = next((gate.backfill_days for gate in gates.values()), None) or BACKFILL_DAYS
    return outcomes, limits, backfill_days


CONTACT = text("""
INSERT INTO device_contact AS c (tenant_id, device_id, contact_at, key_id, reading_at, battery_level, signal_quality)
SELECT :tenant_id, r.device_id, r.contact_at, r.key_id, r.reading_at, r.battery_level, r.signal_quality
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(device_id bigint, contact_at timestamptz, key_id bigint,
     reading_at timestamptz, battery_level bigint, signal_quality bigint)
ORDER BY r.device_id
ON CONFLICT (tenant_id, device_id) DO UPDATE SET
    contact_at = greatest(c.contact_at, excluded.contact_at), key_id = coalesce(excluded.key_id, c.key_id),
    battery_level = CASE WHEN c.reading_at IS NULL OR excluded.reading_at >= c.reading_at
        THEN coalesce(excluded.battery_level, c.battery_level) ELSE c.battery_level END,
    signal_quality = CASE WHEN c.reading_at IS NULL OR excluded.reading_at >= c.reading_at
        THEN coalesce(excluded.signal_quality, c.signal_quality) ELSE c.signal_quality END,
    reading_at = greatest(c.reading_at, excluded.reading_at),
    silence_told_at = CASE WHEN excluded.reading_at IS NULL THEN c.silence_told_at END;
WITH counted AS (
    INSERT INTO device_rate AS c (tenant_id, device_id, minute, readings)
    SELECT :tenant_id, CASE r.device_id WHEN 0 THEN -pg_backend_pid() ELSE r.device_id END, :minute, r.readings
    FROM jsonb_to_recordset(CAST(:counts AS jsonb)) AS r(device_id bigint, readings bigint)
    ON CONFLICT (tenant_id, device_id, minute) DO UPDATE SET readings = c.readings + excluded.readings
    RETURNING device_id, readings
)
SELECT device_id, readings FROM counted
UNION ALL
SELECT 0, coalesce(sum(readings), 0) FROM device_rate
WHERE tenant_id = :tenant_id AND minute = :minute AND device_id < 0 AND device_id <> -pg_backend_pid()
""")
"""In one round trip: who was heard of, and how much they sent in this minute.

The tenant's count is kept in one row for each connection (negative device ids), so that none waits for another."""


def _note_contact(session: Session, tenant_id: int, requests: Sequence[Request], limits: dict[int, int]) -> Rates:
    rows: dict[int, dict[str, Any]] = {}
    for request in requests:
        row = rows.setdefault(request.device_id, {"device_id": request.device_id})
        row |= {"contact_at": request.received_at.isoformat(), "key_id": request.key_id}
        for reading in request.readings:
            moment = min(reading.recorded_at, request.received_at).isoformat()
            if moment >= row.get("reading_at", ""):
                row["reading_at"] = moment
                for name in ("battery_level", "signal_quality"):
                    if getattr(reading, name) is not None:
                        row[name] = getattr(reading, name)
    minute = max(request.received_at for request in requests).replace(second=0, microsecond=0)
    counts = json.dumps(_counts(requests))
    values = {"tenant_id": tenant_id, "rows": json.dumps(list(rows.values())), "minute": minute, "counts": counts}
    found = session.execute(CONTACT, values).all()
    after = {row.device_id: int(row.readings) for row in found if row.device_id > 0}
    after[0] = int(sum(row.readings for row in found if row.device_id <= 0))
    return Rates(minute, after, {whose: limits[whose] for whose in after})


def _counts(requests: Sequence[Request]) -> list[dict[str, int]]:
    counts: dict[int, int] = {0: 0}
    for request in requests:
        counts[request.device_id] = counts.get(request.device_id, 0) + len(request.readings)
        counts[0] += len(request.readings)
    return [{"device_id": device_id, "readings": count} for device_id, count in sorted(counts.items())]


def _wanted(requests: Sequence[Request], let_in: list[int]) -> list[tuple[int, Wanted]]:
    """The readings to store, each with the number of its request."""
    return [
        (index, Wanted(requests[index].device_id, requests[index].received_at, reading))
        for index in let_in
        for reading in requests[index].readings
    ]


def _stored(
    session: Session, tenant_id: int, wanted: list[tuple[int, Wanted]], backfill_days: int
) -> list[Stored | None]:
    return store_readings(session, tenant_id, [each for _, each in wanted], backfill_days=backfill_days)


def _refuse_unassigned(requests: Sequence[Request], outcomes: list[Outcome]) -> None:
    for request, outcome in zip(requests, outcomes, strict=True):
        if request.door == "vitals" and outcome.stored == [None]:
            outcome.status, outcome.error = 400, UNASSIGNED


WRITE_DOWN = text("""
INSERT INTO device_activity (tenant_id, at, device_id, key_id, ip_address, door, status, readings, error)
SELECT :tenant_id, r.at, r.device_id, r.key_id, r.ip_address, r.door, r.status, r.readings, r.error
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(at timestamptz, device_id bigint, key_id bigint, ip_address text,
     door text, status bigint, readings bigint, error text)
""")


def _write_down(session: Session, tenant_id: int, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    rows = [
        {
            "at": request.received_at.isoformat(),
            "device_id": request.device_id,
            "key_id": request.key_id,
            "ip_address": request.ip_address,
            "door": request.door,
            "status": 202 if outcome.status == 200 and _is_held(outcome) else outcome.status,
            "readings": len(request.readings),
            "error": outcome.error,
        }
        for request, outcome in zip(requests, outcomes, strict=True)
    ]
    session.execute(WRITE_DOWN, {"tenant_id": tenant_id, "rows": json.dumps(rows)})


def _is_held(outcome: Outcome) -> bool:
    return len(outcome.stored) == 1 and outcome.stored[0] is not None and bool(outcome.stored[0].held)
