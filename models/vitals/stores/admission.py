"""What devices ask of us, let in group by group: one tenant, one transaction, two round trips for all of them.

Whether a key opens the door is asked here, in the transaction that lets something in: a revoked key is refused by every
process at once. The row of a device's last contact is taken first, so that its readings come in one after the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.kernel.pipeline import Pipeline, as_json
from models.vitals.readings import Reading
from models.vitals.rules import BACKFILL_DAYS
from models.vitals.stores.gate import GATE, NOTE_CONTACT, WRITE_DOWN, Gate, heard
from models.vitals.stores.looking import LOCK_WEARERS, Known, Wanted, places
from models.vitals.stores.storing import Stored, put_readings

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


def admit(pipeline: Pipeline, tenant_id: int, requests: Sequence[Request]) -> tuple[list[Outcome], Rates | None]:
    """Let in what may come in and write down all of it; the caller sends what waits, commits, then answers."""
    minute = max(request.received_at for request in requests).replace(second=0, microsecond=0)
    pipeline.put(NOTE_CONTACT, tenant_id, minute, as_json(_contacts(requests)))
    asked = [
        (index, Wanted(request.device_id, request.received_at, reading))
        for index, request in enumerate(requests)
        for reading in request.readings
    ]
    where = places(tenant_id, [each.key[:2] for _, each in asked])
    pipeline.put(LOCK_WEARERS, *where[:2])
    (found,) = pipeline.ask(GATE, *where, sorted({request.key_id for request in requests}), minute)
    gates = {gate[0]: Gate(*gate) for gate in found.gates or ()}
    backfill_days, device_rate, tenant_rate = found.policy or (None, None, None)
    outcomes = [_outcome(request, gates.get(request.key_id)) for request in requests]
    let_in = [(index, each) for index, each in asked if outcomes[index].status == 200]
    wanted, known = [each for _, each in let_in], Known(found.wearers, found.there)
    storing = put_readings(pipeline, tenant_id, wanted, known, backfill_days=backfill_days or BACKFILL_DAYS)
    indexes = [index for index, _ in let_in]
    _hand_out(outcomes, indexes, storing.stored)
    for request, outcome in zip(requests, outcomes, strict=True):
        if request.door == "vitals" and outcome.stored == [None]:
            outcome.status, outcome.error = 400, UNASSIGNED
    pipeline.put(WRITE_DOWN, tenant_id, as_json([_activity(*each) for each in zip(requests, outcomes, strict=True)]))
    _hand_out(outcomes, indexes, storing.alarm(pipeline, tenant_id))
    limits = device_rate or DEVICE_RATE, tenant_rate or TENANT_RATE
    return outcomes, _rates(minute, gates.values(), int(found.tenant_readings), limits)


def _contacts(requests: Sequence[Request]) -> list[dict[str, Any]]:
    """Who was heard of, where nothing but the key stands in the way."""
    rows = []
    for request in requests:
        if request.refused is None:
            row: dict[str, Any] = {
                "device_id": request.device_id,
                "key_id": request.key_id,
                "contact_at": request.received_at,
                "writes": request.writes,
                "readings": len(request.readings),
            }
            if request.readings:
                row |= heard(request.readings, request.received_at)
            rows.append(row)
    return rows


def _outcome(request: Request, gate: Gate | None) -> Outcome:
    if gate is None:
        return Outcome(401, "Invalid API key")
    shut = gate.refusal(writes=request.writes)
    if shut is not None and shut[0] == 401:
        return Outcome(*shut)
    if request.refused is not None:
        return Outcome(*request.refused)
    return Outcome(*shut) if shut is not None else Outcome(can_read_patient=gate.can_read_patient)


def _hand_out(outcomes: Sequence[Outcome], indexes: Sequence[int], stored: Sequence[Stored | None]) -> None:
    """To each request what became of its own readings."""
    for index in indexes:
        outcomes[index].stored = []
    for index, each in zip(indexes, stored, strict=True):
        outcomes[index].stored.append(each)


def _activity(request: Request, outcome: Outcome) -> dict[str, Any]:
    is_held = len(outcome.stored) == 1 and outcome.stored[0] is not None and bool(outcome.stored[0].held)
    return {
        "at": request.received_at,
        "device_id": request.device_id,
        "key_id": request.key_id,
        "ip_address": request.ip_address,
        "door": request.door,
        "status": 202 if outcome.status == 200 and is_held else outcome.status,
        "readings": len(request.readings),
        "error": outcome.error,
    }


def _rates(minute: datetime, gates: Iterable[Gate], tenant_readings: int, usual: tuple[int, int]) -> Rates:
    """`usual`: how many a device may send that has no limit of its own, and the tenant."""
    known = [gate for gate in gates if gate.readings is not None]
    counts = {gate.device_id: gate.readings or 0 for gate in known} | {0: tenant_readings}
    return Rates(minute, counts, {gate.device_id: gate.rate or usual[0] for gate in known} | {0: usual[1]})
