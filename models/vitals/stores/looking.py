"""What must be known before readings are stored: whose their devices were, and what of their moments is there."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from models.kernel.pipeline import Asked, Pipeline, Prepared, as_json
from models.vitals.readings import Reading
from models.vitals.rules import Finding

Moment = tuple[int, datetime]
"""A device and a time."""
Key = tuple[int, datetime, bytes]


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


class Known:
    """Whose devices were at which time; `there` has the readings of a moment: content to id and alerts."""

    def __init__(self, wearers: Sequence[Sequence[Any]] | None, there: Sequence[Sequence[Any]] | None) -> None:
        self._periods: dict[int, list[tuple[datetime, datetime | None, int]]] = {}
        for device_id, patient_id, since, until in wearers or ():
            period = (datetime.fromisoformat(since), datetime.fromisoformat(until) if until else None, patient_id)
            self._periods.setdefault(device_id, []).append(period)
        self.there: dict[Moment, dict[bytes, tuple[int, int]]] = {}
        for device_id, moment, content, vital_sign_id, alerts in there or ():
            same_time = self.there.setdefault((device_id, datetime.fromisoformat(moment)), {})
            same_time[bytes.fromhex(content)] = (vital_sign_id, alerts)

    def wearer(self, device_id: int, moment: datetime) -> int | None:
        """The patient whose device it was; None when it was nobody's."""
        periods = self._periods.get(device_id, [])
        place = bisect_right(periods, moment, key=lambda period: period[0]) - 1
        if place < 0:
            return None
        _, until, patient_id = periods[place]
        return patient_id if until is None or moment < until else None


LOCK_WEARERS = Prepared(
    "vitals_lock_wearers",
    "bigint, bigint[]",
    "SELECT p.id FROM device_patient w JOIN patient p ON p.tenant_id = w.tenant_id AND p.id = w.patient_id "
    "WHERE w.tenant_id = $1 AND w.device_id = ANY($2) ORDER BY p.id FOR KEY SHARE OF p",
)
"""Patients are locked first, so that a merge either moves these readings too or is seen."""
WEARERS = """(
    SELECT jsonb_agg(jsonb_build_array(w.device_id, coalesce(p.merged_into_id, p.id), w.assigned_from, w.assigned_until)
                     ORDER BY w.assigned_from)
    FROM device_patient w JOIN patient p ON p.tenant_id = w.tenant_id AND p.id = w.patient_id
    WHERE w.tenant_id = $1 AND w.device_id = ANY($2)
)"""
THERE = """(
    SELECT jsonb_agg(jsonb_build_array(v.device_id, v.recorded_at, encode(v.content, 'hex'), v.id, v.alerts_triggered))
    FROM jsonb_to_recordset($3) AS r(device_id bigint, recorded_at timestamptz)
    JOIN device_contact c ON c.tenant_id = $1 AND c.device_id = r.device_id AND c.latest_before_at >= r.recorded_at
    CROSS JOIN LATERAL (
        SELECT x.* FROM vital_sign x WHERE x.tenant_id = $1 AND x.device_id = r.device_id
           AND x.recorded_at = r.recorded_at AND x.recorded_at BETWEEN $4 AND $5 OFFSET 0
    ) v
)"""
"""Nothing is looked for at moments after the latest reading of before, which is nearly all of them. The others are
looked for one by one, in the months between the bounds."""
LOOK_TYPES = "bigint, bigint[], jsonb, timestamptz, timestamptz"


class Found(NamedTuple):
    """What `Known` is made of: rows as JSON, None where there are none."""

    wearers: list[list[Any]] | None
    there: list[list[Any]] | None


LOOK = Asked("vitals_look", LOOK_TYPES, f"SELECT {WEARERS} AS wearers, {THERE} AS there", Found)


def places(tenant_id: int, moments: Iterable[Moment]) -> tuple[Any, ...]:
    """The values of `LOOK_TYPES`."""
    wanted = sorted(set(moments))
    rows = [{"device_id": device_id, "recorded_at": moment} for device_id, moment in wanted]
    times = [moment for _, moment in wanted]
    devices = sorted({device_id for device_id, _ in wanted})
    return tenant_id, devices, as_json(rows), min(times, default=None), max(times, default=None)


def look(pipeline: Pipeline, tenant_id: int, moments: Iterable[Moment]) -> Known:
    """What is known of them; the caller holds the devices' contact rows, so that nobody else stores readings of them.

    The rows tell in `latest_before_at` the time of the latest reading before those that the caller brings.
    """
    values = places(tenant_id, moments)
    if not values[1]:
        return Known(None, None)
    pipeline.put(LOCK_WEARERS, *values[:2])
    (found,) = pipeline.ask(LOOK, *values)
    return Known(found.wearers, found.there)
