"""Charts of vital signs as the server draws them: lines with their spread, and gaps where nothing was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil, floor, log10
from statistics import median
from zoneinfo import ZoneInfo

from api.instruments.words import duration
from api.vitals import words
from models.vitals.stores.trends import POINTS, Point

WIDTH, HEIGHT = 420.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 36.0, 6.0, 8.0, 20.0
GROUPS = (
    ("heart_rate",),
    ("blood_pressure_systolic", "blood_pressure_diastolic"),
    ("oxygen_saturation",),
    ("temperature",),
    ("respiratory_rate",),
    ("glucose",),
    ("weight",),
)
TITLES = {"blood_pressure_systolic": "Blood pressure"}
GAP_IN_SPACINGS = 4
"""So many times the usual distance between readings without one is a gap."""


@dataclass(frozen=True, slots=True)
class Line:
    """One vital sign: stretches without a gap as points of a polyline, the spread around it, and single readings."""

    kind: str
    strokes: list[str]
    spreads: list[tuple[float, float, float]]
    dots: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at an axis."""

    at: float
    label: str
    anchor: str = "end"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without readings."""

    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One drawing. `told` says the same in words."""

    name: str
    label: str
    unit: str
    latest: str
    latest_at: datetime
    told: str
    lines: list[Line]
    gaps: list[Gap]
    across: list[Tick]
    upward: list[Tick]


def draw(trends: Mapping[str, Sequence[Point]], *, since: datetime, until: datetime, time_zone: str) -> list[Chart]:
    """A chart for each vital sign that was measured between the two times."""
    charts = []
    for names in GROUPS:
        there = [name for name in names if trends.get(name)]
        if there:
            charts.append(_chart(names[0], {name: trends[name] for name in there}, since, until, time_zone))
    return charts


def _chart(name: str, series: Mapping[str, Sequence[Point]], since: datetime, until: datetime, time_zone: str) -> Chart:
    points = [point for one in series.values() for point in one]
    low, high = min(point.low for point in points), max(point.high for point in points)
    steps = _steps(low, high)
    bottom, top = steps[0], steps[-1]
    room_across, room_up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(moment: datetime) -> float:
        return round(LEFT + (moment - since) / (until - since) * room_across, 1)

    def upward(value: float) -> float:
        return round(TOP + (top - value) / (top - bottom) * room_up, 1)

    latest = {one: seen[-1] for one, seen in series.items()}
    said = "/".join(words.number(point.mean) for point in latest.values())
    latest_at = max(point.at for point in latest.values())
    unit, label = words.unit(name), TITLES.get(name) or words.label(name)
    times = sorted({point.at for point in points})
    holes = _holes(times, until, usual_least=(until - since) / POINTS)
    lines = []
    for kind, (_, seen) in zip(("first", "second"), series.items(), strict=False):
        runs = _runs(seen, holes)
        lines.append(
            Line(
                kind,
                [" ".join(f"{across(p.at)},{upward(p.mean)}" for p in run) for run in runs if len(run) > 1],
                [(across(p.at), upward(p.high), upward(p.low)) for p in seen if p.high > p.low],
                [(across(run[0].at), upward(run[0].mean)) for run in runs if len(run) == 1],
            )
        )
    gaps = [
        Gap(
            across(start),
            round(across(end) - across(start), 1),
            f"no reading for {duration((end - start).total_seconds())}",
        )
        for start, end in holes
    ]
    told = f"{label}: {words.number(low)} to {words.number(high)} {unit}, latest {said}"
    if gaps:
        told += f"; {len(gaps)} {'gap' if len(gaps) == 1 else 'gaps'} without readings"
    marks = [Tick(upward(step), words.number(step)) for step in steps]
    return Chart(name, label, unit, said, latest_at, told, lines, gaps, _days(since, until, time_zone), marks)


def _holes(times: Sequence[datetime], until: datetime, *, usual_least: timedelta) -> list[tuple[datetime, datetime]]:
    """Where readings are missing: far longer than between others, and from the last one to the end."""
    if len(times) < 3:
        return []
    usual = timedelta(seconds=median((after - before).total_seconds() for before, after in pairwise(times)))
    longest = max(usual, usual_least) * GAP_IN_SPACINGS
    return [(before, after) for before, after in pairwise([*times, until]) if after - before > longest]


def _runs(seen: Sequence[Point], holes: Sequence[tuple[datetime, datetime]]) -> list[list[Point]]:
    """The points without those pairs between which a gap lies."""
    runs: list[list[Point]] = [[seen[0]]]
    for before, after in pairwise(seen):
        if any(before.at <= start and end <= after.at for start, end in holes):
            runs.append([])
        runs[-1].append(after)
    return runs


def _steps(low: float, high: float) -> list[float]:
    """Three to five round numbers around the values."""
    room = max(high - low, abs(high) * 0.02, 1.0)
    raw = room / 3
    size = 10.0 ** floor(log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    first = floor(low / step) - (1 if high - low < step / 4 else 0)  # a level line is not drawn on the axis
    last = max(ceil(high / step), first + 2)
    return [round(number * step, 6) for number in range(first, last + 1)]


def _days(since: datetime, until: datetime, time_zone: str) -> list[Tick]:
    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError):
        zone = ZoneInfo("UTC")
    form = (
        "%H:%M" if until - since <= timedelta(days=2) else "%d %b" if until - since < timedelta(days=300) else "%b %Y"
    )
    parts = (0.0, 0.25, 0.5, 0.75, 1.0)
    anchors = ("start", "middle", "middle", "middle", "end")
    room = WIDTH - LEFT - RIGHT
    return [
        Tick(round(LEFT + part * room, 1), (since + (until - since) * part).astimezone(zone).strftime(form), anchor)
        for part, anchor in zip(parts, anchors, strict=True)
    ]
