"""What a test of the catalogue consists of, as people and files give it."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from models.instruments.inputs import Input, Version
from models.kernel.fields import Code, Name, Text, one_line

LONGEST_LIFE_DAYS = 150 * 366


def check_loinc(code: str) -> str:
    """The LOINC code with its check digit verified (mod 10, as the LOINC Users' Guide describes); else ValueError."""
    digits, _, check = code.partition("-")
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    if (10 - total % 10) % 10 != int(check):
        raise ValueError("the check digit of the LOINC code is wrong")
    return code


Loinc = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[0-9]{1,7}-[0-9]$"), AfterValidator(check_loinc)
]
Unit = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=40, pattern=r"^[!-~]*$"), AfterValidator(one_line)
]
Limit = Annotated[Decimal, Field(max_digits=20, decimal_places=10, allow_inf_nan=False)]
AgeDays = Annotated[int, Field(ge=0, le=LONGEST_LIFE_DAYS)]


class RangeInput(Input):
    """What is normal, or critical, for a sex (none: any) from one age in days up to, not including, another.

    Panic limits given here hold in place of the test's for this sex and age; a range may have them alone.
    """

    sex: Literal["female", "male"] | None = None
    age_from_days: AgeDays = 0
    age_to_days: AgeDays | None = None
    low: Limit | None = None
    high: Limit | None = None
    panic_low: Limit | None = None
    panic_high: Limit | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if all(limit is None for limit in (self.low, self.high, self.panic_low, self.panic_high)):
            raise ValueError("a range needs low, high or both, or critical limits")
        _ascending(
            ("panic_low", self.panic_low), ("low", self.low), ("high", self.high), ("panic_high", self.panic_high)
        )
        if self.age_to_days is not None and self.age_to_days <= self.age_from_days:
            raise ValueError("age_to_days lies above age_from_days")
        return self


class TestInput(Input):
    """One test. `department` and `equipment` are names, so that a file fits more than one installation."""

    __test__ = False

    code: Code
    loinc: Loinc | None = None
    name: Name
    specimen_type: Name
    result_type: Literal["numeric", "text"] = "numeric"
    unit: Unit = Field(default="", description="UCUM, case sensitive; 1 for a number without a dimension")
    plausible_low: Limit | None = None
    plausible_high: Limit | None = None
    panic_low: Limit | None = None
    panic_high: Limit | None = None
    verification_levels: int = Field(default=1, ge=1, le=3)
    department: Name | None = None
    equipment: Name | None = Field(default=None, description="the instrument that runs it where an order names none")
    is_active: bool = True
    source: Text = Field(default="", description="where ranges and limits come from")
    ranges: list[RangeInput] = Field(default_factory=list, max_length=200)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _ascending(
            ("plausible_low", self.plausible_low),
            ("panic_low", self.panic_low),
            ("panic_high", self.panic_high),
            ("plausible_high", self.plausible_high),
        )
        is_numeric = self.result_type == "numeric"
        if is_numeric and not self.unit:
            raise ValueError("a numeric test needs its unit; 1 where it has no dimension")
        limits = (self.plausible_low, self.plausible_high, self.panic_low, self.panic_high)
        if not is_numeric and (self.ranges or any(limit is not None for limit in limits)):
            raise ValueError("only a numeric test has ranges and limits")
        groups = [(one.sex, one.age_from_days, one.age_to_days) for one in self.ranges]
        if len(groups) != len(set(groups)):
            raise ValueError("two ranges are for the same sex and ages")
        return self


class TestChange(TestInput):
    """All fields of a test as they shall be, and the version they were read from."""

    __test__ = False

    version: Version


class PanelInput(Input):
    """Several tests ordered as one, by their codes, in order."""

    code: Code
    name: Name
    tests: list[Code] = Field(min_length=1, max_length=100)
    is_active: bool = True

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if len(self.tests) != len(set(self.tests)):
            raise ValueError("a test is named twice")
        return self


class PanelChange(PanelInput):
    """All fields of a panel as they shall be, and the version they were read from."""

    version: Version


def _ascending(*limits: tuple[str, Decimal | None]) -> None:
    """Each limit that is given is not below the one before it; ValueError names the two."""
    given = [(name, value) for name, value in limits if value is not None]
    for (lower_name, lower), (upper_name, upper) in pairwise(given):
        if lower > upper:
            raise ValueError(f"{lower_name} lies above {upper_name}")
