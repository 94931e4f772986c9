"""Charts of vital signs as the server draws them: lines with their spread, limits, and gaps without readings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from api.instruments.words import duration
from api.vitals import chart_limits, words
from api.vitals.chart_limits import LimitLine
from models.alerts.rules import Threshold
from models.vitals.stores.trends import POINTS, Latest, Point

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
    limits: list[LimitLine]
    limits_told: list[tuple[str, str]]
    across: list[Tick]
    upward: list[Tick]


@dataclass(frozen=True, slots=True)
class Span:
    """What the charts show: from when to when, and whose clock is at the axis."""

    since: datetime
    until: datetime
    time_zone: str


def draw(
    trends: Mapping[str, Sequence[Point]],
    span: Span,
    limits: Mapping[str, Sequence[Threshold]] | None = None,
    latest: Mapping[str, Latest] | None = None,
) -> list[Chart]:
    """A chart for each vital sign that was measured in the time, with the limits in force for the patient.

    `latest` are the last measured values; where they are not given the last points stand for them.
    """
    last = {name: Latest(points[-1].mean, points[-1].at) for name, points in trends.items() if points} | dict(
        latest or {}
    )
    charts = []
    for names in GROUPS:
        there = {name: trends[name] for name in names if trends.get(name)}
        if there:
            charts.append(_chart(names, there, span, limits or {}, last))
    return charts


def _chart(
    names: Sequence[str],
    series: Mapping[str, Sequence[Point]],
    span: Span,
    limits: Mapping[str, Sequence[Threshold]],
    last: Mapping[str, Latest],
) -> Chart:
    name, since, until = names[0], span.since, span.until
    points = [point for one in series.values() for point in one]
    low, high = min(point.low for point in points), max(point.high for point in points)
    marks = chart_limits.marks_of(names, {one: limits.get(one, ()) for one in series})
    steps = chart_limits.axis(low, high, marks)
    bottom, top = steps[0], steps[-1]
    room_across, room_up = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(moment: datetime) -> float:
        return round(LEFT + (moment - since) / (until - since) * room_across, 1)

    def upward(value: float) -> float:
        return round(TOP + (top - value) / (top - bottom) * room_up, 1)

    said = "/".join(words.number(last[one].value) for one in series)
    latest_at = max(last[one].at for one in series)
    unit, label = words.unit(name), TITLES.get(name) or words.label(name)
    times = sorted({point.at for point in points})
    holes = _holes(times, until, usual_least=(until - since) / POINTS)
    lines = []
    for kind, seen in ((("first", "second")[names.index(one)], seen) for one, seen in series.items()):
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
    heights = {mark.value: upward(mark.value) for mark in marks if bottom <= mark.value <= top}
    limits_told = chart_limits.told(marks, heights)
    told += "".join(f"; {level} {said}" for level, said in limits_told)
    if gaps:
        told += f"; {len(gaps)} {'gap' if len(gaps) == 1 else 'gaps'} without readings"
    return Chart(
        name=name,
        label=label,
        unit=unit,
        latest=said,
        latest_at=latest_at,
        told=told,
        lines=lines,
        gaps=gaps,
        limits=chart_limits.lines_of(marks, heights),
        limits_told=[(level.capitalize(), told_one) for level, told_one in limits_told],
        across=_days(since, until, span.time_zone),
        upward=[Tick(upward(step), words.number(step)) for step in steps],
    )


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
