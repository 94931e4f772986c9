"""Limits in a chart: lines as far as they leave the curve readable, and words for all of them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from api.alerts.words import limit
from models.alerts.rules import Level, Threshold

MOST_STRETCH = 2.0
"""So many times longer may limits make the axis: the curve keeps at least half of the height it has without them."""
LABEL_HEIGHT = 11.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A limit of a measure: the value beyond which it alarms, and how people say it ("systolic over 159")."""

    level: Level
    value: float
    is_high: bool
    said: str
    line: str


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A limit as drawn, at a height; `label` stands at its end where there is room for it."""

    level: Level
    line: str
    at: float
    label: str
    is_high: bool


def marks_of(names: Sequence[str], limits: Mapping[str, Sequence[Threshold]]) -> list[Mark]:
    """The limits of a chart's measures that alarm, those of a second measure told apart by its name."""
    found = []
    for line, name in zip(("first", "second"), names, strict=False):
        short = f"{name.rpartition('_')[2]} " if len(names) > 1 else ""
        for one in limits.get(name, ()):
            for level, value in ((Level.WARNING, one.warning), (Level.CRITICAL, one.critical)):
                if value is not None and one.is_on:
                    found.append(Mark(level, float(value), one.is_high, f"{short}{limit(one, value)}", line))
    return sorted(found, key=lambda mark: (mark.line, mark.value))


def axis(low: float, high: float, marks: Iterable[Mark]) -> list[float]:
    """Round numbers around the values, and around those limits that do not squash them: the nearest ones first."""
    steps = round_steps(low, high)
    span = steps[-1] - steps[0]
    longest = span * MOST_STRETCH
    if high - low < span / 8:  # a level line is not drawn on the edge
        low, high = low - span / 8, high + span / 8
    for mark in sorted(marks, key=lambda one: max(low - one.value, one.value - high)):
        lower, upper = min(low, mark.value), max(high, mark.value)
        wider = round_steps(lower, upper)
        if wider[-1] - wider[0] <= longest:
            low, high, steps = lower, upper, wider
    return steps


def lines_of(marks: Iterable[Mark], heights: Mapping[float, float]) -> list[LimitLine]:
    """The limits that lie inside the drawing, at their heights."""
    found: list[LimitLine] = []
    for mark in marks:
        if mark.value not in heights:
            continue
        at = heights[mark.value]
        is_free = all(one.is_high != mark.is_high or abs(one.at - at) >= LABEL_HEIGHT for one in found if one.label)
        found.append(LimitLine(mark.level, mark.line, at, mark.said if is_free else "", mark.is_high))
    return found


def told(marks: Iterable[Mark], drawn: Mapping[float, float]) -> list[tuple[Level, str]]:
    """Each level's limits in words, and which of them are not in the drawing."""
    by_level: dict[Level, list[str]] = {}
    for mark in marks:
        said = mark.said if mark.value in drawn else f"{mark.said} (outside the drawing)"
        by_level.setdefault(mark.level, []).append(said)
    return [(level, ", ".join(by_level[level])) for level in Level if level in by_level]


def round_steps(low: float, high: float) -> list[float]:
    """Three to five round numbers around the values."""
    room = max(high - low, abs(high) * 0.02, 1.0)
    raw = room / 3
    size = 10.0 ** floor(log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    first = floor(low / step) - (1 if high - low < step / 4 else 0)  # a level line is not drawn on the axis
    last = max(ceil(high / step), first + 2)
    return [round(number * step, 6) for number in range(first, last + 1)]
