"""What readings do to the alerts of one patient and kind: they open, worsen and clear. Pure.

A spell is one alert's time from opening to recovery. Readings are taken in the order of their own times; one that is
older than what the spell has seen already changes nothing: late news is not the present state. Of several of the same
time (two devices) the worst counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from models.alerts.rules import Level, Threshold


@dataclass(frozen=True, slots=True)
class Judged:
    """One reading's value of one kind's measure."""

    vital_sign_id: int
    recorded_at: datetime
    value: Decimal


@dataclass(slots=True)
class Change:
    """Something that happened in a spell: `opened`, `worsened` or `recovered`."""

    name: str
    level: Level
    by: Judged


@dataclass(slots=True)
class Spell:
    """One alert, `alert_id` where it was open before. `value` is the worst one of its level."""

    level: Level
    value: Decimal
    seen_at: datetime
    alert_id: int | None = None
    is_open: bool = True
    changes: list[Change] = field(default_factory=list)


def walk(
    threshold: Threshold, open_one: Spell | None, readings: Iterable[Judged], *, after: datetime | None = None
) -> list[Spell]:
    """The spells these readings touch, the open one first; nothing at or before `after` (the last end) opens one."""
    spells = [open_one] if open_one is not None else []
    present = open_one
    for reading in sorted(readings, key=lambda one: (one.recorded_at, one.vital_sign_id)):
        level = threshold.level(reading.value)
        if present is None:
            if level is not None and (after is None or reading.recorded_at > after):
                present = Spell(level, reading.value, reading.recorded_at)
                present.changes.append(Change("opened", level, reading))
                spells.append(present)
        elif reading.recorded_at >= present.seen_at:
            _continue(threshold, present, reading, level)
            if not present.is_open:
                after, present = reading.recorded_at, None
    return spells


def _continue(threshold: Threshold, spell: Spell, reading: Judged, level: Level | None) -> None:
    if level is not None:
        is_further = reading.value > spell.value if threshold.is_high else reading.value < spell.value
        if is_further:
            spell.value = reading.value
        if level.rank > spell.level.rank:
            spell.level = level
            spell.changes.append(Change("worsened", level, reading))
    elif reading.recorded_at > spell.seen_at and threshold.is_over(reading.value):
        spell.is_open = False
        spell.changes.append(Change("recovered", spell.level, reading))
    spell.seen_at = reading.recorded_at
