"""A day's figures against their limits: just under, just over, and too little to judge."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from models.vitals import day_limits as limits
from models.vitals.day_rules import BY_COLUMN, RULES, Battery, Course, DeviceDay, Gaps, figures, window
from models.vitals.measures import BY_NAME

pytestmark = pytest.mark.unit
DAY = DeviceDay(7, "DEV007")


def is_found(column: str, day: DeviceDay) -> bool | None:
    """Whether the rule finds something; None: not judged."""
    figure, rule = figures(day)[column], BY_COLUMN[column]
    if figure is None:
        return None
    return (rule.lowest is not None and figure <= rule.lowest) or (rule.highest is not None and figure > rule.highest)


def test_a_day_of_which_nothing_is_known_is_not_judged() -> None:
    assert set(figures(DAY)) == set(BY_COLUMN)
    assert len(BY_COLUMN) == len(RULES)
    assert [column for column in BY_COLUMN if is_found(column, DAY) is not None] == []


@pytest.mark.parametrize(
    ("silence", "gaps", "expected"),
    [
        (None, Gaps(150, 100, 5), False),
        (None, Gaps(150.1, 100, 5), True),
        (None, Gaps(150.1, 100, 4), None),
        (None, Gaps(150.1, None, 0), None),
        (None, Gaps(30, 1, 14), False),
        (None, Gaps(30.1, 1, 14), True),
        (60, Gaps(60, 1, 14), False),
        (60, Gaps(60.1, 500, 14), True),
        (60, Gaps(60.1), True),
        (60, Gaps(None, 1, 14), None),
    ],
)
def test_gaps_are_measured_by_what_was_set_and_else_by_what_is_usual(
    silence: int | None, gaps: Gaps, expected: bool | None
) -> None:
    assert is_found("gap", replace(DAY, silence_minutes=silence, gaps=gaps)) is expected


@pytest.mark.parametrize(("name", "hours"), limits.STUCK_HOURS.items())
def test_a_value_stays_no_longer_than_a_living_patients_can(name: str, hours: float) -> None:
    assert is_found(f"stuck_{name}", replace(DAY, same_hours={name: hours})) is False
    assert is_found(f"stuck_{name}", replace(DAY, same_hours={name: hours + 0.01})) is True
    assert is_found(f"stuck_{name}", replace(DAY, same_hours={})) is None


def test_weight_is_never_stuck_and_never_drifts() -> None:
    assert set(BY_NAME) - set(limits.STUCK_HOURS) == set(BY_NAME) - set(limits.DRIFT_FLOORS) == {"weight"}


@pytest.mark.parametrize(
    ("course", "expected"),
    [
        (Course(median=97.5, usual=80, deviation=0, days=5), False),  # 3.5 times the floor of 5
        (Course(median=97.6, usual=80, deviation=0, days=5), True),
        (Course(median=62.4, usual=80, deviation=0, days=5), True),
        (Course(median=97.6, usual=80, deviation=0, days=4), None),
        (Course(median=131.8, usual=80, deviation=10, days=14), False),  # 3.5 times 14.826 is 51.9
        (Course(median=132.0, usual=80, deviation=10, days=14), True),
    ],
)
def test_a_drift_is_far_from_usual_by_the_spread_of_the_device_itself(course: Course, expected: bool | None) -> None:
    assert is_found("drift_heart_rate", replace(DAY, courses={"heart_rate": course})) is expected


@pytest.mark.parametrize(("name", "floor"), limits.DRIFT_FLOORS.items())
def test_days_alike_by_chance_do_not_make_what_a_device_may_be_wrong_by_a_drift(name: str, floor: float) -> None:
    just = Course(0, limits.DRIFT_SPREADS * floor * 0.999, 0, 14)
    over = replace(just, usual=limits.DRIFT_SPREADS * floor * 1.001)
    assert is_found(f"drift_{name}", replace(DAY, courses={name: just})) is False
    assert is_found(f"drift_{name}", replace(DAY, courses={name: over})) is True


@pytest.mark.parametrize(
    ("battery", "low", "falling"),
    [
        (Battery(first=22, last=21, rise=0, hours=20), False, False),
        (Battery(first=21, last=20, rise=0, hours=20), True, False),
        (Battery(first=96, last=64, rise=0, hours=24), False, True),  # two days exactly
        (Battery(first=96, last=65, rise=0, hours=24), False, False),
        (Battery(first=96, last=80, rise=0, hours=12), False, False),
        (Battery(first=96, last=63, rise=0, hours=11.9), False, None),
        (Battery(first=96, last=40, rise=9, hours=24), False, True),
        (Battery(first=96, last=40, rise=10, hours=24), False, None),  # charged
        (Battery(first=50, last=50, rise=0, hours=24), False, False),
        (Battery(first=10, last=15, rise=5, hours=24), True, False),
    ],
)
def test_a_battery_is_low_or_will_not_last(battery: Battery, low: bool, falling: bool | None) -> None:
    day = replace(DAY, battery=battery)
    assert (is_found("battery", day), is_found("battery_days", day)) == (low, falling)


@pytest.mark.parametrize(("signal", "readings", "expected"), [(50, 12, True), (51, 12, False), (50, 11, None)])
def test_a_poor_signal_is_at_or_below_the_middle(signal: float, readings: int, expected: bool | None) -> None:
    assert is_found("signal", replace(DAY, signal=signal, signals=readings)) is expected


@pytest.mark.parametrize(
    ("stored", "held", "expected"), [(19, 1, False), (94, 6, True), (95, 5, False), (10, 9, None), (0, 20, True)]
)
def test_one_in_twenty_may_be_held(stored: int, held: int, expected: bool | None) -> None:
    assert is_found("held", replace(DAY, stored=stored, held=held)) is expected


FULL = replace(
    DAY,
    silence_minutes=60,
    gaps=Gaps(310),
    same_hours=dict.fromkeys(limits.STUCK_HOURS, 23.5),
    courses=dict.fromkeys(limits.DRIFT_FLOORS, Course(7777, 8888, 1, 9)),
    battery=Battery(90, 9, 0, 24),
    signal=3,
    signals=20,
    stored=20,
    held=20,
)


def test_every_rule_says_by_how_much_and_no_value() -> None:
    said = {column: rule.tell(FULL) for column, rule in BY_COLUMN.items()}
    assert said["gap"] == "no reading for 310 min (60 allowed)"
    assert said["stuck_heart_rate"] == "heart rate the same for 23.5 h (at most 6)"
    assert said["drift_glucose"] == "glucose 74.1 spreads from usual (at most 3.5)"
    assert said["battery"] == "battery at 9 % (over 20)"
    assert said["battery_days"] == "battery lasts 0.1 days (over 2)"
    assert said["signal"] == "signal quality 3 % (over 50)"
    assert said["held"] == "50.0 % of readings held (at most 5)"
    assert not any(value in text for text in said.values() for value in ("7777", "8888", "DEV"))


@pytest.mark.parametrize(
    ("day", "zone", "begins", "hours"),
    [
        (date(2026, 11, 20), "Africa/Lagos", datetime(2026, 11, 19, 23, tzinfo=UTC), 24),
        (date(2026, 3, 29), "Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        (date(2026, 10, 25), "Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
    ],
)
def test_a_day_is_the_laboratorys(day: date, zone: str, begins: datetime, hours: int) -> None:
    found = window(day, zone)
    assert found.since == begins
    assert found.until.astimezone(UTC) - found.since.astimezone(UTC) == timedelta(hours=hours)
    assert found.first.date() == day - timedelta(days=limits.HISTORY_DAYS)


def built() -> Any:
    """The suite; imported here, for it takes seconds."""
    from expectations.vitals_day import build_suite

    return build_suite()


def test_the_suite_finds_what_the_rules_find() -> None:
    from tasks.quality import validate

    rows = [{"tenant_id": 1, "device_id": 1, **figures(FULL)}, {"tenant_id": 1, "device_id": 2, **figures(DAY)}]
    edges = {rule.column: rule.lowest if rule.highest is None else rule.highest for rule in RULES}
    rows.append({"tenant_id": 2, "device_id": 3, **edges})
    verdict = validate(built, rows, ids=("device_id",))
    assert list(verdict.failures[1]) == [column for column in BY_COLUMN if is_found(column, FULL)] == list(BY_COLUMN)
    assert 2 not in verdict.failures
    assert set(verdict.failures[3]) == {rule.column for rule in RULES if rule.lowest is not None}
    assert verdict.validations[1].failed_expectations == len(RULES)
