"""Flags of a result: which reference range applies, and where the value lies. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

LOW, HIGH, CRITICAL_LOW, CRITICAL_HIGH, NORMAL = "low", "high", "critical_low", "critical_high", "normal"
FLAGS = (LOW, HIGH, CRITICAL_LOW, CRITICAL_HIGH, NORMAL)


@dataclass(frozen=True, slots=True)
class Range:
    """What is normal for a sex (None: any) at an age in days, `age_to_days` not included; both limits are normal.

    A range may hold critical limits of its own for that sex and age, with or without saying what is normal.
    """

    sex: str | None
    age_from_days: int
    age_to_days: int | None
    low: Decimal | None
    high: Decimal | None
    panic_low: Decimal | None = None
    panic_high: Decimal | None = None

    @property
    def is_normal(self) -> bool:
        """Whether it says what is normal."""
        return self.low is not None or self.high is not None

    @property
    def is_critical(self) -> bool:
        """Whether it says what is critical."""
        return self.panic_low is not None or self.panic_high is not None


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one value: the range that applies and the panic limits, beyond which it is critical."""

    low: Decimal | None = None
    high: Decimal | None = None
    panic_low: Decimal | None = None
    panic_high: Decimal | None = None


def age_in_days(birth_date: date | None, on: date) -> int | None:
    """Days of life on a day; None where the birth date is not known or lies after it."""
    if birth_date is None or birth_date > on:
        return None
    return (on - birth_date).days


def matching_range(ranges: Iterable[Range], sex: str, age_days: int | None) -> Range | None:
    """The range for this sex and age: one for the sex before one for any, then the narrower span of ages.

    Of somebody whose age is not known only a range for all ages applies, and so with the sex: nothing is assumed.
    """
    fitting = [one for one in ranges if one.sex in (None, sex) and _covers(one, age_days)]
    return min(fitting, key=lambda one: (one.sex is None, _span(one), one.age_from_days), default=None)


def flag_of(value: Decimal | None, limits: Limits, comparator: str | None = None) -> str | None:
    """The flag of a value, or None where nothing says what is normal.

    A value on a limit is still within it. Beyond a panic limit is critical whether or not a range applies. "<0.01"
    means anything below: it is low or critical only where every such value is, and normal only where every one is.
    """
    if value is None:
        return None
    if comparator in ("<", "<="):
        return _flag_below(value, limits, is_open=comparator == "<")
    if comparator in (">", ">="):
        return _flag_above(value, limits, is_open=comparator == ">")
    if limits.panic_low is not None and value < limits.panic_low:
        return CRITICAL_LOW
    if limits.panic_high is not None and value > limits.panic_high:
        return CRITICAL_HIGH
    if limits.low is not None and value < limits.low:
        return LOW
    if limits.high is not None and value > limits.high:
        return HIGH
    return NORMAL if limits.low is not None or limits.high is not None else None


def _flag_below(value: Decimal, limits: Limits, *, is_open: bool) -> str | None:
    """Of "less than value": certain only where the whole span below lies on one side."""
    for limit, flag in ((limits.panic_low, CRITICAL_LOW), (limits.low, LOW)):
        if limit is not None and (value < limit or (is_open and value == limit)):
            return flag
    is_bounded_below = limits.low is not None or limits.panic_low is not None
    return NORMAL if not is_bounded_below and limits.high is not None and value <= limits.high else None


def _flag_above(value: Decimal, limits: Limits, *, is_open: bool) -> str | None:
    """Of "more than value": the mirror image."""
    for limit, flag in ((limits.panic_high, CRITICAL_HIGH), (limits.high, HIGH)):
        if limit is not None and (value > limit or (is_open and value == limit)):
            return flag
    is_bounded_above = limits.high is not None or limits.panic_high is not None
    return NORMAL if not is_bounded_above and limits.low is not None and value >= limits.low else None


def _covers(one: Range, age_days: int | None) -> bool:
    if age_days is None:
        return one.age_from_days == 0 and one.age_to_days is None
    return one.age_from_days <= age_days and (one.age_to_days is None or age_days < one.age_to_days)


def _span(one: Range) -> float:
    return float("inf") if one.age_to_days is None else one.age_to_days - one.age_from_days
