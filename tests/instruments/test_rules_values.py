"""Reading values and setting flags: nothing is guessed, and nothing is called normal that no range says is."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.instruments.flags import (
    CRITICAL_HIGH,
    CRITICAL_LOW,
    FLAGS,
    HIGH,
    LOW,
    NORMAL,
    Limits,
    Range,
    age_in_days,
    flag_of,
    matching_range,
)
from models.instruments.values import UnreadableValueError, parse_value, same_unit

pytestmark = pytest.mark.unit
D = Decimal
numbers = st.decimals(min_value=-1000, max_value=1000, allow_nan=False, places=3)
limits = st.none() | numbers


@pytest.mark.parametrize(
    ("raw", "number", "comparator"),
    [
        ("12.5", "12.5", None),
        (" 12.50 ", "12.50", None),
        ("0", "0", None),
        ("-3.2", "-3.2", None),
        ("+7", "7", None),
        ("1e3", "1000", None),
        ("<0.01", "0.01", "<"),
        ("> 500", "500", ">"),
        (">=500", "500", ">="),
        ("007", "7", None),
    ],
)
def test_a_number_is_read_and_its_text_kept(raw: str, number: str, comparator: str | None) -> None:
    value = parse_value(raw, "numeric")
    assert (value.raw, value.number, value.comparator) == (raw.strip(), D(number), comparator)


WRONG = ["1E+400", "1e100", "-Infinity", "sNaN", "<NaN", "≤5", "5 000", "5'000", "5,000.0", "1/2", "\N{MINUS SIGN}5",
         "", " ", "12,5", "1.234,5", "1 234", "12.", ".5", "abc", "#####", "NaN", "Infinity", "12.5 g/dL", "--1", "<",
         "٣", "1e999", "1" * 16, "0x10", "< <1", "~5", "12.5*", "1_000"]  # fmt: skip


@pytest.mark.parametrize("raw", [*WRONG, None])
def test_what_is_not_clearly_a_number_is_refused(raw: str | None) -> None:
    with pytest.raises(UnreadableValueError):
        parse_value(raw, "numeric")


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(UnreadableValueError) as refused:
        parse_value("98,7654", "numeric")
    assert "98" not in str(refused.value)


@given(numbers)
def test_every_number_comes_back_as_it_was_written(number: Decimal) -> None:
    assert parse_value(format(number, "f"), "numeric").number == number


@given(st.text(max_size=80))
def test_no_text_crashes_the_reading(raw: str) -> None:
    for kind in ("numeric", "text"):
        try:
            value = parse_value(raw, kind)
        except UnreadableValueError:
            continue
        assert value.raw == raw.strip()


def test_a_text_result_keeps_its_words_and_has_no_number() -> None:
    assert parse_value(" negative ", "text") == parse_value("negative", "text")
    assert parse_value("12.5", "text").number is None
    with pytest.raises(UnreadableValueError):
        parse_value("", "text")
    with pytest.raises(UnreadableValueError):
        parse_value("a\x00b", "text")


@pytest.mark.parametrize("raw", ["-0", "-0.0", "0", "+0", "0e5"])
def test_a_negative_zero_is_zero(raw: str) -> None:
    value = parse_value(raw, "numeric")
    assert value.number == 0
    assert flag_of(value.number, Limits(low=D(0), high=D(5), panic_low=D(0))) == NORMAL


SAME = [("g/dL", "g/dl"), ("10*3/uL", "10^3/ul"), ("umol/L", "µmol/l"), ("umol/L", "\u03bcmol/L"), ("L", "l"),
        ("mg/dL", " mg/dL "), ("mL/min/{1.73_m2}", "ml/min/{1.73_m2}"), ("fL", "fl"), ("daL", "dal")]  # fmt: skip
OTHER = [("g/dL", "G/DL"), ("mg/dL", "Mg/dL"), ("g/dL", "g/L"), ("10*3/uL", "10*9/L"), ("mol", "moL"), ("U/L", "u/L"),
         ("cal", "caL"), ("g/dL", ""), ("mm[Hg]", "MM[HG]"), ("[gal_us]", "[gaL_us]"), ("%", "1"),
         ("g/L", "g.L-1")]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_unit_may_be_written_as_ucum_lets_it(one: str, other: str) -> None:
    assert same_unit(one, other)
    assert same_unit(other, one)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_a_unit_that_ucum_tells_apart_is_another(one: str, other: str) -> None:
    assert not same_unit(one, other)


FULL = Limits(D(12), D(16), D(6), D(20))


@pytest.mark.parametrize(
    ("value", "flag"),
    [("5.9", CRITICAL_LOW), ("6", LOW), ("11.9", LOW), ("12", NORMAL), ("16", NORMAL), ("16.1", HIGH), ("20", HIGH),
     ("20.1", CRITICAL_HIGH)],
)  # fmt: skip
def test_flags_and_their_limits(value: str, flag: str) -> None:
    assert flag_of(D(value), FULL) == flag


def test_without_a_range_there_is_no_flag_but_panic_limits_hold() -> None:
    assert flag_of(D(13), Limits()) is None
    assert flag_of(D(13), Limits(panic_low=D(6), panic_high=D(20))) is None
    assert flag_of(D(5), Limits(panic_low=D(6))) == CRITICAL_LOW
    assert flag_of(D(21), Limits(panic_high=D(20))) == CRITICAL_HIGH
    assert flag_of(None, FULL) is None


@pytest.mark.parametrize(
    ("comparator", "value", "flag"),
    [
        ("<", "6", CRITICAL_LOW),
        ("<=", "6", LOW),
        ("<", "12", LOW),
        ("<=", "12", None),
        ("<", "14", None),
        (">", "20", CRITICAL_HIGH),
        (">=", "20", HIGH),
        (">", "16", HIGH),
        (">", "14", None),
    ],
)
def test_beyond_the_measuring_range_a_flag_needs_certainty(comparator: str, value: str, flag: str | None) -> None:
    assert flag_of(D(value), FULL, comparator) == flag


def test_below_an_upper_limit_alone_is_normal() -> None:
    troponin = Limits(high=D(14), panic_high=D(52))
    assert flag_of(D(5), troponin, "<") == NORMAL
    assert flag_of(D(15), troponin, "<") is None
    assert flag_of(D(14), troponin, "<") == flag_of(D(14), troponin, "<=") == NORMAL


def test_above_a_lower_limit_alone_is_normal() -> None:
    filtration = Limits(low=D(60), panic_low=D(15))
    assert flag_of(D(60), filtration, ">") == flag_of(D(60), filtration, ">=") == NORMAL
    assert flag_of(D(59), filtration, ">") is None


@given(numbers, limits, limits, limits, limits)
def test_a_flag_is_right_whatever_the_limits(
    value: Decimal, low: Decimal | None, high: Decimal | None, panic_low: Decimal | None, panic_high: Decimal | None
) -> None:
    flag = flag_of(value, Limits(low, high, panic_low, panic_high))
    assert flag is None or flag in FLAGS
    if flag == NORMAL:
        assert low is not None or high is not None
        assert low is None or value >= low
        assert high is None or value <= high
    if low is None and high is None:
        assert flag in (None, CRITICAL_LOW, CRITICAL_HIGH)
    if panic_low is not None and value < panic_low:
        assert flag == CRITICAL_LOW


@given(numbers, numbers, st.sampled_from(["<", ">", "<=", ">="]))
def test_a_flag_beyond_the_range_holds_for_every_value_it_may_stand_for(
    bound: Decimal, offset: Decimal, comparator: str
) -> None:
    flag = flag_of(bound, FULL, comparator)
    if flag is None:
        return
    distance = abs(offset) + (0 if "=" in comparator else D("0.001"))
    possible = bound - distance if "<" in comparator else bound + distance
    exact = flag_of(possible, FULL)
    worse = {LOW: {LOW, CRITICAL_LOW}, HIGH: {HIGH, CRITICAL_HIGH}}.get(flag, {flag})
    assert exact in worse


WOMAN = Range("female", 6574, None, D(12), D(16))
MAN = Range("male", 6574, None, D(14), D(18))
CHILD = Range(None, 365, 6574, D(11), D(15))
ALL = Range(None, 0, None, D(10), D(20))


@pytest.mark.parametrize(
    ("sex", "age", "expected"),
    [
        ("female", 10_000, WOMAN),
        ("male", 10_000, MAN),
        ("other", 10_000, None),
        ("unknown", 10_000, None),
        ("female", 6574, WOMAN),
        ("female", 6573, CHILD),
        ("male", 365, CHILD),
        ("male", 364, None),
        ("female", None, None),
    ],
)
def test_the_range_is_of_the_sex_and_age(sex: str, age: int | None, expected: Range | None) -> None:
    assert matching_range([CHILD, WOMAN, MAN], sex, age) == expected


def test_a_range_of_the_sex_is_closer_than_one_for_all_and_a_narrower_age_than_a_wider() -> None:
    assert matching_range([ALL, WOMAN], "female", 9000) == WOMAN
    assert matching_range([ALL, WOMAN], "other", 9000) == ALL
    assert matching_range([ALL, CHILD], "male", 400) == CHILD
    assert matching_range([ALL, CHILD], "male", None) == ALL
    girl = Range("female", 0, None, D(9), D(14))
    assert matching_range([CHILD, girl], "female", 400) == girl  # the sex before the narrower age


def test_age_counts_days_and_is_unknown_before_birth() -> None:
    born = date(2000, 2, 29)
    assert age_in_days(born, born) == 0
    assert age_in_days(born, born + timedelta(days=6574)) == 6574
    assert age_in_days(born, date(1999, 1, 1)) is None
    assert age_in_days(None, born) is None


@pytest.mark.parametrize("born", [date(2000, 2, 29), date(2007, 3, 1), date(2008, 11, 20)])
def test_an_age_range_begins_on_its_day_and_ends_before_it(born: date) -> None:
    for days, expected in ((6573, CHILD), (6574, WOMAN)):
        age = age_in_days(born, born + timedelta(days=days))
        assert matching_range([CHILD, WOMAN], "female", age) == expected


def test_of_two_ranges_of_one_span_the_earlier_age_decides_in_whatever_order_they_come() -> None:
    early, late = Range(None, 0, 100, D(1), D(2)), Range(None, 50, 150, D(3), D(4))
    assert matching_range([late, early], "male", 70) == matching_range([early, late], "male", 70) == early
