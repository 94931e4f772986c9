"""What holds a reading before it is stored, and when one is too old to alarm. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from models.vitals.measures import BY_NAME
from models.vitals.readings import Reading

CLOCK_TOLERANCE = timedelta(minutes=5)
"""A device's clock may be ahead of ours by this much."""
LIVE = timedelta(minutes=15)
"""A reading older than this when it arrives is judged by its own time and alarms nobody."""
BACKFILL_DAYS = 730
LOW_BATTERY_PERCENT = 20
"""At this level somebody should charge it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that holds a reading, and the field it names."""

    field: str
    rule: str


def findings(reading: Reading, *, received_at: datetime, backfill_days: int = BACKFILL_DAYS) -> list[Finding]:
    """Why this reading is held; empty when it is not."""
    found = []
    if reading.recorded_at > received_at + CLOCK_TOLERANCE:
        found.append(Finding("timestamp", "in_the_future"))
    if reading.recorded_at < received_at - timedelta(days=backfill_days):
        found.append(Finding("timestamp", "older_than_backfill_limit"))
    for name, measured in reading.values.items():
        if not BY_NAME[name].is_possible(measured.canonical):
            found.append(Finding(name, "impossible_value"))
    systolic, diastolic = (reading.values.get(f"blood_pressure_{kind}") for kind in ("systolic", "diastolic"))
    if systolic and diastolic and systolic.canonical <= diastolic.canonical:
        found.append(Finding("blood_pressure_systolic", "systolic_not_over_diastolic"))
    return found


def is_live(recorded_at: datetime, received_at: datetime) -> bool:
    """Whether a reading tells how the patient is now."""
    return received_at - recorded_at <= LIVE
