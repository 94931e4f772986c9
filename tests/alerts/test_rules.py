"""Limits at their edges, NEWS2 whole or not at all, hysteresis: by the sources' own numbers and by hypothesis."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.alerts.news2 import CHARTS, HIGHEST, news2
from models.alerts.rules import BY_KIND, KINDS, Adjustment, Level, Threshold, adjusted, healthy
from models.alerts.spells import Judged, walk
from models.vitals.measures import BY_NAME

pytestmark = pytest.mark.unit
HEALTHY = {
    "respiratory_rate": Decimal(16),
    "oxygen_saturation": Decimal(98),
    "blood_pressure_systolic": Decimal(120),
    "heart_rate": Decimal(75),
    "temperature": Decimal("37.0"),
}
W, C, N = Level.WARNING, Level.CRITICAL, None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("heart_rate_high", {"110": N, "111": W, "130": W, "131": C}),
        ("heart_rate_low", {"51": N, "50": W, "41": W, "40": C}),
        ("respiratory_rate_high", {"20": N, "21": W, "24": W, "25": C}),
        ("respiratory_rate_low", {"12": N, "11": W, "9": W, "8": C}),
        ("oxygen_saturation_low", {"94": N, "93": W, "92": W, "91": C, "91.5": C, "93.9": W}),
        ("blood_pressure_systolic_low", {"101": N, "100": W, "91": W, "90": C}),
        ("blood_pressure_systolic_high", {"159": N, "160": W, "180": W, "181": C}),
        ("blood_pressure_diastolic_high", {"99": N, "100": W, "120": W, "121": C}),
        ("temperature_low", {"36.1": N, "36.0": W, "35.1": W, "35.0": C}),
        ("temperature_high", {"39.0": N, "39.1": W, "40.0": W, "40.1": C}),
        ("glucose_low", {"70": N, "69.9": W, "54": W, "53.9": C}),
        ("glucose_high", {"250": N, "250.1": W, "600": W, "601": C}),
        ("consciousness_high", {"0": N, "3": C}),
        ("news2_high", {"4": N, "5": W, "6": W, "7": C}),
    ],
)
def test_each_limit_lies_where_its_source_says(kind: str, expected: dict[str, Level | None]) -> None:
    assert {value: BY_KIND[kind].level(Decimal(value)) for value in expected} == expected


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("respiratory_rate", {"8": 3, "9": 1, "11": 1, "12": 0, "20": 0, "21": 2, "24": 2, "25": 3}),
        ("oxygen_saturation", {"91": 3, "92": 2, "93": 2, "94": 1, "95": 1, "96": 0}),
        ("blood_pressure_systolic", {"90": 3, "91": 2, "100": 2, "101": 1, "110": 1, "111": 0, "219": 0, "220": 3}),
        ("heart_rate", {"40": 3, "41": 1, "50": 1, "51": 0, "90": 0, "91": 1, "110": 1, "111": 2, "130": 2, "131": 3}),
        ("temperature", {"35.0": 3, "35.1": 1, "36.0": 1, "36.1": 0, "38.0": 0, "38.1": 1, "39.0": 1, "39.1": 2}),
    ],
)
def test_news2_points_are_those_of_the_chart(name: str, points: dict[str, int]) -> None:
    assert {value: CHARTS[name].points(Decimal(value)) for value in points} == points


def test_news2_sums_all_seven() -> None:
    assert news2(HEALTHY, consciousness="alert", supplemental_oxygen=False) == 0
    assert news2(HEALTHY, consciousness="alert", supplemental_oxygen=True) == 2
    assert news2(HEALTHY, consciousness="confused", supplemental_oxygen=False) == 3
    worst = {"respiratory_rate": 30, "oxygen_saturation": 80, "blood_pressure_systolic": 70, "heart_rate": 30}
    ill = {name: Decimal(value) for name, value in worst.items()} | {"temperature": Decimal(34)}
    assert news2(ill, consciousness="pain", supplemental_oxygen=True) == HIGHEST


@given(
    missing=st.sets(st.sampled_from([*CHARTS, "consciousness", "supplemental_oxygen"]), min_size=1),
    heart_rate=st.integers(10, 350),
)
def test_news2_is_never_partial(missing: set[str], heart_rate: int) -> None:
    values = {n: v for n, v in (HEALTHY | {"heart_rate": Decimal(heart_rate)}).items() if n not in missing}
    consciousness = None if "consciousness" in missing else "alert"
    oxygen = None if "supplemental_oxygen" in missing else False
    assert news2(values, consciousness=consciousness, supplemental_oxygen=oxygen) is None


VALUES = st.decimals(min_value=0, max_value=3000, places=2)


@given(threshold=st.sampled_from(KINDS), one=VALUES, other=VALUES)
def test_further_out_is_never_less_bad_and_over_is_never_abnormal(
    threshold: Threshold, one: Decimal, other: Decimal
) -> None:
    inner, outer = sorted((one, other), reverse=not threshold.is_high)
    ranks = [level.rank if (level := threshold.level(value)) else 0 for value in (inner, outer)]
    assert ranks[0] <= ranks[1]
    assert not (threshold.is_over(one) and threshold.level(one))


@given(
    measure=st.sampled_from(sorted({one.measure for one in KINDS})),
    value=VALUES,
    own=st.builds(
        Adjustment,
        kind=st.sampled_from(sorted(BY_KIND)),
        warning=st.none() | VALUES,
        critical=st.none() | VALUES,
        is_on=st.booleans(),
    ),
)
def test_the_quick_look_sees_exactly_what_alarms(measure: str, value: Decimal, own: Adjustment) -> None:
    limits = adjusted([own])
    low, high = healthy(limits.values())[measure]
    alarms = any(one.level(value) for one in limits.values() if one.measure == measure)
    assert alarms is not (low <= value <= high)


@given(name=st.sampled_from(sorted(BY_NAME)), data=st.data())
def test_a_value_is_never_too_high_and_too_low_at_once(name: str, data: st.DataObject) -> None:
    measure = BY_NAME[name]
    value = data.draw(st.decimals(min_value=measure.lowest, max_value=measure.highest, places=2))
    assert len([one for one in KINDS if one.measure == name and one.level(value)]) <= 1


def test_every_measure_is_one_of_the_vital_signs_and_names_its_source() -> None:
    assert {one.measure for one in KINDS} - set(BY_NAME) == {"consciousness", "news2"}
    assert all(one.source and (one.unit == BY_NAME[one.measure].canonical) for one in KINDS if one.measure in BY_NAME)


def test_a_patients_limits_go_before_the_tenants_and_those_before_the_usual() -> None:
    tenants, own = (
        Adjustment("heart_rate_high", warning=Decimal(100)),
        Adjustment("heart_rate_high", 7, critical=Decimal(140)),
    )
    found = adjusted([own, tenants])["heart_rate_high"]
    assert (found.warning, found.critical, found.margin) == (Decimal(100), Decimal(140), Decimal(5))
    off = adjusted([Adjustment("heart_rate_high", is_on=False)])["heart_rate_high"]
    assert off.level(Decimal(300)) is None


AT = datetime(2026, 11, 21, tzinfo=UTC)


def changes(*values: int | str, kind: str = "heart_rate_high") -> list[str]:
    readings = [Judged(n, AT + timedelta(minutes=n), Decimal(value)) for n, value in enumerate(values)]
    return [change.name for spell in walk(BY_KIND[kind], None, readings) for change in spell.changes]


def test_an_alert_clears_only_inside_the_limit_by_the_margin() -> None:
    assert changes(120, 110, 106) == ["opened"]
    assert changes(120, 110, 105) == ["opened", "recovered"]
    assert changes(120, 108, 112, 107, 111) == ["opened"]


def test_an_alert_worsens_once_and_does_not_improve_by_half() -> None:
    assert changes(115, 135, 140, 120, 135) == ["opened", "worsened"]
    assert changes(115, 100, 115) == ["opened", "recovered", "opened"]


@given(values=st.lists(st.integers(30, 220), min_size=1, max_size=40), data=st.data())
def test_the_order_of_arrival_makes_no_difference(values: list[int], data: st.DataObject) -> None:
    readings = [Judged(n, AT + timedelta(seconds=n), Decimal(value)) for n, value in enumerate(values)]
    shuffled = data.draw(st.permutations(readings))
    threshold = BY_KIND["heart_rate_high"]
    spells = walk(threshold, None, shuffled)
    assert spells == walk(threshold, None, readings)
    assert [spell.is_open for spell in spells].count(True) <= 1


def test_an_older_reading_changes_nothing_of_what_is_open() -> None:
    threshold = BY_KIND["heart_rate_high"]
    [spell] = walk(threshold, None, [Judged(1, AT, Decimal(120))])
    spell.changes.clear()
    for value in (80, 200):
        [same] = walk(threshold, spell, [Judged(2, AT - timedelta(minutes=1), Decimal(value))])
        assert (same.is_open, same.level, same.changes) == (True, Level.WARNING, [])
