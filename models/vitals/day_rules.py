"""What a day's readings say of the device they came from: its figures, and the rules that judge them. Pure.

A figure with too little behind it is None: not judged, which is never a finding. A finding is a question for somebody
who looks after the device, for a patient can change as well as a sensor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from models.vitals import day_limits as limits
from models.vitals.measures import BY_NAME
from models.vitals.rules import LOW_BATTERY_PERCENT


@dataclass(frozen=True, slots=True)
class Window:
    """A day in the laboratory's zone, and the days before that it is compared with."""

    day: date
    time_zone: str
    first: datetime
    since: datetime
    until: datetime


def window(day: date, time_zone: str) -> Window:
    """From midnight to midnight there; 23 or 25 hours where clocks are changed."""
    zone = ZoneInfo(time_zone)
    days = (day - timedelta(days=limits.HISTORY_DAYS), day, day + timedelta(days=1))
    first, since, until = (datetime.combine(one, time.min, zone) for one in days)
    return Window(day, time_zone, first, since, until)


@dataclass(frozen=True, slots=True)
class Course:
    """A vital sign's median of the day; median and median absolute deviation of the days before, and how many."""

    median: float
    usual: float
    deviation: float
    days: int


@dataclass(frozen=True, slots=True)
class Battery:
    """Percent at the first and last reading of the day, the greatest rise between, and the hours from one to other."""

    first: float
    last: float
    rise: float
    hours: float


@dataclass(frozen=True, slots=True)
class Gaps:
    """The longest stretch of the day without a reading while the device was somebody's, and what is usual."""

    longest_minutes: float | None = None
    usual_minutes: float | None = None
    days: int = 0


@dataclass(frozen=True, slots=True)
class DeviceDay:
    """A device's day in figures. `same_hours`: how long each vital sign was the same; left out: too few readings."""

    device_id: int
    code: str
    silence_minutes: int | None = None
    gaps: Gaps = Gaps()
    same_hours: Mapping[str, float] | None = None
    courses: Mapping[str, Course] | None = None
    battery: Battery | None = None
    signal: float | None = None
    signals: int = 0
    stored: int = 0
    held: int = 0

    @property
    def allowed_gap_minutes(self) -> float | None:
        """What people set for it, else by its habits; None where neither is known."""
        if self.silence_minutes is not None:
            return self.silence_minutes
        if self.gaps.usual_minutes is None or self.gaps.days < limits.FEWEST_DAYS:
            return None
        return max(limits.GAP_FLOOR_MINUTES, limits.GAP_FACTOR * self.gaps.usual_minutes)


@dataclass(frozen=True, slots=True)
class Rule:
    """A column of the suite: over `lowest`, at most `highest`. `kind` is what a run counts, `said` what people read."""

    column: str
    kind: str
    description: str
    said: str
    lowest: float | None = None
    highest: float | None = None

    def tell(self, day: DeviceDay) -> str:
        """By how much, without a patient's value."""
        return self.said.format(figure=figures(day)[self.column], day=day, rule=self)


def figures(day: DeviceDay) -> dict[str, float | None]:
    """What the suite looks at, by column; None is not judged."""
    same, courses = day.same_hours or {}, day.courses or {}
    return {
        "gap": _gap(day),
        **{f"stuck_{name}": same.get(name) for name in limits.STUCK_HOURS},
        **{f"drift_{name}": _spreads(courses.get(name), floor) for name, floor in limits.DRIFT_FLOORS.items()},
        "battery": None if day.battery is None else day.battery.last,
        "battery_days": _battery_days(day.battery),
        "signal": day.signal if day.signals >= limits.SIGNAL_READINGS else None,
        "held": 100 * day.held / total if (total := day.stored + day.held) >= limits.HELD_READINGS else None,
    }


def _gap(day: DeviceDay) -> float | None:
    allowed = day.allowed_gap_minutes
    return None if allowed is None or day.gaps.longest_minutes is None else day.gaps.longest_minutes / allowed


def _spreads(course: Course | None, floor: float) -> float | None:
    if course is None or course.days < limits.FEWEST_DAYS:
        return None
    return abs(course.median - course.usual) / max(limits.MAD_TO_SIGMA * course.deviation, floor)


def _battery_days(battery: Battery | None) -> float | None:
    """How many days more it lasts at this day's pace."""
    if battery is None or battery.hours < limits.BATTERY_HOURS or battery.rise >= limits.CHARGED_PERCENT:
        return None
    fall_a_day = (battery.first - battery.last) * 24 / battery.hours
    return min(battery.last / fall_a_day, limits.MOST_BATTERY_DAYS) if fall_a_day > 0 else limits.MOST_BATTERY_DAYS


def _label(name: str) -> str:
    return BY_NAME[name].label


RULES: tuple[Rule, ...] = (
    Rule(
        column="gap",
        kind="gaps",
        description="No longer without a reading than it may be silent or, where nobody set that, than is usual for it",
        said="no reading for {day.gaps.longest_minutes:.0f} min ({day.allowed_gap_minutes:.0f} allowed)",
        highest=1,
    ),
    *(
        Rule(
            column=f"stuck_{name}",
            kind="stuck sensors",
            description=f"{_label(name)}: not the same for longer than a living patient's can be (hours)",
            said=f"{_label(name).lower()} the same for {{figure:.1f}} h (at most {{rule.highest:g}})",
            highest=hours,
        )
        for name, hours in limits.STUCK_HOURS.items()
    ),
    *(
        Rule(
            column=f"drift_{name}",
            kind="drifts",
            description=f"{_label(name)}: the day's median is as usual for this patient on this device (spreads)",
            said=f"{_label(name).lower()} {{figure:.1f}} spreads from usual (at most {{rule.highest:g}})",
            highest=limits.DRIFT_SPREADS,
        )
        for name in limits.DRIFT_FLOORS
    ),
    Rule(
        column="battery",
        kind="low batteries",
        description="The battery is not low at the end of the day (%)",
        said="battery at {figure:.0f} % (over {rule.lowest:g})",
        lowest=LOW_BATTERY_PERCENT,
    ),
    Rule(
        column="battery_days",
        kind="falling batteries",
        description="At the day's pace the battery lasts long enough to be changed (days)",
        said="battery lasts {figure:.1f} days (over {rule.lowest:g})",
        lowest=limits.BATTERY_DAYS,
    ),
    Rule(
        column="signal",
        kind="poor signals",
        description="Half of the readings have a good signal (%)",
        said="signal quality {figure:.0f} % (over {rule.lowest:g})",
        lowest=limits.SIGNAL_PERCENT,
    ),
    Rule(
        column="held",
        kind="high held shares",
        description="Few of its readings were held by a rule (%)",
        said="{figure:.1f} % of readings held (at most {rule.highest:g})",
        highest=limits.HELD_PERCENT,
    ),
)
BY_COLUMN: Mapping[str, Rule] = {rule.column: rule for rule in RULES}
