"""Conversion of units and the rules that hold a reading, as properties over all that can be given.

What is expected is computed by fractions and by constants of its own.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.vitals.measures import BY_NAME, MEASURES, Measure
from models.vitals.readings import Reading, parse
from models.vitals.rules import BACKFILL_DAYS, CLOCK_TOLERANCE, LIVE, Finding, findings, is_live

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)
# By unit: what one of it is in the canonical unit, and what must be taken off before.
UNITS: dict[str, tuple[Fraction, int]] = {
    "F": (Fraction(5, 9), 32),
    "lbs": (Fraction("0.45359237"), 0),
    "mmol/L": (Fraction("18.0156"), 0),
}
PLACES = [(measure, unit) for measure in MEASURES for unit in (sorted(measure.units) if measure.units else [None])]
IDS = [f"{measure.name} in {unit or measure.canonical}" for measure, unit in PLACES]
given_values = st.decimals(min_value=-100_000, max_value=100_000, places=4)
places = st.sampled_from(PLACES)


def exactly(value: Decimal, unit: str | None) -> Fraction:
    factor, zero = UNITS.get(unit or "", (Fraction(1), 0))
    return (Fraction(value) - zero) * factor


def in_unit(canonical: Decimal, unit: str | None) -> Fraction:
    factor, zero = UNITS.get(unit or "", (Fraction(1), 0))
    return Fraction(canonical) / factor + zero


def reading(values: dict[str, Any], at: datetime = NOW) -> Reading:
    return parse({"timestamp": at.isoformat(), **values}, zone=None)


def one(measure: Measure, value: Decimal, unit: str | None) -> Reading:
    return reading({measure.name: value} | ({str(measure.unit_field): unit} if unit else {}))


@given(places, given_values)
def test_a_conversion_is_exact_to_the_nearest_hundredth(place: tuple[Measure, str | None], value: Decimal) -> None:
    measure, unit = place
    wanted = Fraction(value) if unit not in UNITS else round(exactly(value, unit), 2)
    assert Fraction(measure.to_canonical(value, unit)) == wanted


@given(st.integers(-5_000, 5_000))
def test_between_two_hundredths_the_even_one_is_taken(number: int) -> None:
    """Degrees Fahrenheit that are just so many thousandths of a degree Celsius, and a half hundredth among them."""
    value = Decimal(32) + Decimal(9 * number) / 1000
    assert Fraction(BY_NAME["temperature"].to_canonical(value, "F")) == round(Fraction(5 * number, 1000), 2)


@given(places, given_values)
def test_there_and_back_is_the_same_but_for_half_a_hundredth(place: tuple[Measure, str | None], value: Decimal) -> None:
    measure, unit = place
    factor, _ = UNITS.get(unit or "", (Fraction(1), 0))
    back = in_unit(measure.to_canonical(value, unit), unit)
    assert abs(back - Fraction(value)) <= Fraction(1, 200) / factor


@given(places, given_values, given_values)
def test_more_is_never_less(place: tuple[Measure, str | None], one_value: Decimal, other: Decimal) -> None:
    measure, unit = place
    less, more = sorted((one_value, other))
    assert measure.to_canonical(less, unit) <= measure.to_canonical(more, unit)
    if exactly(more, unit) - exactly(less, unit) > Fraction(1, 100):
        assert measure.to_canonical(less, unit) < measure.to_canonical(more, unit)


@given(st.sampled_from([place for place in PLACES if place[1] not in UNITS]), given_values)
def test_the_canonical_unit_is_left_as_it_was_written(place: tuple[Measure, str | None], value: Decimal) -> None:
    measure, unit = place
    assert str(measure.to_canonical(value, unit)) == str(value)


@pytest.mark.parametrize(("measure", "unit"), PLACES, ids=IDS)
def test_just_inside_a_bound_is_stored_and_just_outside_is_held(measure: Measure, unit: str | None) -> None:
    """At the finest step a device gives: whole numbers, else tenths, in every unit."""
    step = Decimal(1) if measure.is_whole else Decimal("0.1")
    held = [Finding(measure.name, "impossible_value")]
    for bound, outwards in ((measure.lowest, -1), (measure.highest, 1)):
        steps = in_unit(bound, unit) / Fraction(step)
        inside = Decimal(steps.__ceil__() if outwards < 0 else steps.__floor__()) * step
        outside = inside + outwards * step
        assert findings(one(measure, inside, unit), received_at=NOW) == []
        assert findings(one(measure, outside, unit), received_at=NOW) == held


@given(places, given_values)
def test_what_is_held_is_what_lies_outside(place: tuple[Measure, str | None], value: Decimal) -> None:
    measure, unit = place
    if measure.is_whole:
        value = value.to_integral_value()
    exact = exactly(value, unit)
    far = Fraction(1, 200) if unit in UNITS else Fraction(0)
    assume(all(abs(exact - Fraction(bound)) > far for bound in (measure.lowest, measure.highest)) or not far)
    is_possible = Fraction(measure.lowest) <= exact <= Fraction(measure.highest)
    assert (findings(one(measure, value, unit), received_at=NOW) == []) is is_possible


@given(st.integers(20, 350), st.integers(5, 250))
def test_systolic_must_be_over_diastolic(systolic: int, diastolic: int) -> None:
    given_pair = {"blood_pressure_systolic": systolic, "blood_pressure_diastolic": diastolic}
    wanted = [] if systolic > diastolic else [Finding("blood_pressure_systolic", "systolic_not_over_diastolic")]
    assert findings(reading(given_pair), received_at=NOW) == wanted
    for alone in given_pair:
        assert findings(reading({alone: given_pair[alone]}), received_at=NOW) == []


@pytest.mark.parametrize("days", [1, 30, BACKFILL_DAYS])
def test_the_ends_of_the_time_that_is_taken(days: int) -> None:
    def why(at: datetime) -> list[str]:
        return [one.rule for one in findings(reading({"heart_rate": 75}, at), received_at=NOW, backfill_days=days)]

    newest, oldest = NOW + CLOCK_TOLERANCE, NOW - timedelta(days=days)
    assert (why(newest), why(newest + TICK)) == ([], ["in_the_future"])
    assert (why(oldest), why(oldest - TICK)) == ([], ["older_than_backfill_limit"])


def test_a_reading_is_live_for_so_long_and_no_longer() -> None:
    assert is_live(NOW - LIVE, NOW)
    assert not is_live(NOW - LIVE - TICK, NOW)
    assert is_live(NOW + CLOCK_TOLERANCE, NOW)


@given(st.lists(st.sampled_from([*BY_NAME]), min_size=1, max_size=4, unique=True))
def test_every_value_at_fault_is_named(names: list[str]) -> None:
    beyond = {name: BY_NAME[name].highest + 1 for name in names}
    units = {str(BY_NAME[name].unit_field): BY_NAME[name].canonical for name in names if BY_NAME[name].units}
    units = {field: {"Cel": "C"}.get(unit, unit) for field, unit in units.items()}
    found = findings(reading(beyond | units), received_at=NOW)
    assert {one.field for one in found if one.rule == "impossible_value"} == set(names)
