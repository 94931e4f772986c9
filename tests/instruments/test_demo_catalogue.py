"""The demo's catalogue is clinically true: codes, units, ranges and critical limits as their sources have them.

Sources are named in each test's `source` and in docs/instruments.md. The figures here were copied from the sources a
second time, not from the catalogue.
"""

import re
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest

import deployments.demo
from deployments.simulators.instrument_catalogue import CATALOGUE
from models.instruments.catalogue_files import parse_catalogue
from models.instruments.catalogue_inputs import RangeInput, TestInput
from models.instruments.flags import Limits, Range, flag_of
from models.instruments.result_rules import limits_for
from models.kernel.clock import utc_now
from tests.instruments.test_rules_results import EXPECTED

pytestmark = pytest.mark.unit
D = Decimal
PARSED = parse_catalogue((Path(deployments.demo.__file__).parent / "catalogue.json").read_bytes(), "json")
TESTS = PARSED.tests
EXAMPLE = "LAB-CBC"
"""The interface document's example: one value of a blood count, which no LOINC code names and no range fits."""
MEASURED = sorted(set(TESTS) - {EXAMPLE})

# Code, property and system as the LOINC table has them (loinc.org); of properties: MCnc mass, NCnc number, CCnc
# catalytic, SCnc substance, ACnc arbitrary concentration.
LOINC = {
    "LAB-HGB": ("718-7", "MCnc", "Bld"),
    "LAB-WBC": ("6690-2", "NCnc", "Bld"),
    "LAB-PLT": ("777-3", "NCnc", "Bld"),
    "LAB-GLU": ("2345-7", "MCnc", "Ser/Plas"),
    "LAB-CREA": ("2160-0", "MCnc", "Ser/Plas"),
    "LAB-ALT": ("1742-6", "CCnc", "Ser/Plas"),
    "LAB-NA": ("2951-2", "SCnc", "Ser/Plas"),
    "LAB-K": ("2823-3", "SCnc", "Ser/Plas"),
    "LAB-TSH": ("3016-3", "ACnc", "Ser/Plas"),
    "LAB-TNTHS": ("67151-1", "MCnc", "Ser/Plas"),
}
# Units of the NLM's Table of Example UCUM Codes for Electronic Messaging, by the LOINC property they measure.
UCUM = {
    "MCnc": {"g/dL", "mg/dL", "ng/L"},
    "NCnc": {"10*3/uL"},
    "CCnc": {"U/L"},
    "SCnc": {"mmol/L"},
    "ACnc": {"m[IU]/L"},
}
SPECIMENS = {"Bld": {"Blood"}, "Ser/Plas": {"Serum", "Plasma"}}
# Grown women, grown men, critical, as the sources print them; - where there is none.
ADULTS = {
    "LAB-HGB": ("11.6 15.0", "13.2 16.6", "6.6 19.9"),
    "LAB-WBC": ("3.7 10.5", "3.7 10.5", "2.0 37.0"),
    "LAB-PLT": ("157 371", "135 317", "37 910"),
    "LAB-GLU": ("65 139", "65 139", "46 484"),
    "LAB-CREA": ("0.59 1.04", "0.74 1.35", "- 7.40"),
    "LAB-ALT": ("7 45", "7 55", "- -"),
    "LAB-NA": ("135 145", "135 145", "120 158"),
    "LAB-K": ("3.6 5.2", "3.6 5.2", "2.8 6.2"),
    "LAB-TSH": ("0.3 4.2", "0.3 4.2", "- -"),
    "LAB-TNTHS": ("- 14", "- 22", "- 100"),
}
YEAR = 365.25


def limits(code: str, sex: str, age_days: int | None) -> Limits:
    """What holds for somebody of this sex and age."""
    test, now = TESTS[code], utc_now()
    today = now.date()
    ranges = tuple(Range(**one.model_dump()) for one in test.ranges)
    born = None if age_days is None else today.fromordinal(today.toordinal() - age_days)
    expected = replace(
        EXPECTED, sex=sex, birth_date=born, ranges=ranges, panic_low=test.panic_low, panic_high=test.panic_high
    )
    return limits_for(expected, now)


def edges(test: TestInput) -> set[int]:
    """Every age at which something may change, and the day before."""
    ages = {0, 20_000}
    for one in test.ranges:
        ages |= {age for edge in (one.age_from_days, one.age_to_days or 0) for age in (edge - 1, edge) if age >= 0}
    return ages


def test_at_least_the_eight_tests_everybody_knows_are_there_and_all_have_codes() -> None:
    assert PARSED.problems == []
    assert PARSED.panels["CBC"].tests == ["LAB-HGB", "LAB-WBC", "LAB-PLT"]
    assert set(LOINC) == set(MEASURED)
    assert TESTS[EXAMPLE].loinc is None
    assert TESTS[EXAMPLE].ranges == []


@pytest.mark.parametrize("code", MEASURED)
def test_the_loinc_code_has_its_check_digit_and_fits_unit_and_specimen(code: str) -> None:
    test, (loinc, measured, system) = TESTS[code], LOINC[code]
    assert test.loinc == loinc
    digits, check = loinc.split("-")
    doubled = int("".join(reversed(digits))[::2][::-1]) * 2  # as the LOINC Users' Guide does it by hand
    rest = "".join(reversed(digits))[1::2][::-1]
    total = sum(int(digit) for digit in rest + str(doubled))
    assert (10 - total % 10) % 10 == int(check)
    assert test.unit in UCUM[measured]
    assert test.specimen_type in SPECIMENS[system]


@pytest.mark.parametrize("code", sorted(TESTS))
def test_every_figure_has_a_source(code: str) -> None:
    test = TESTS[code]
    assert "Plausible: labwire's own" in test.source
    if code == EXAMPLE:
        assert not test.ranges
        assert (test.panic_low, test.panic_high) == (None, None)
        return
    assert test.source.startswith("Ranges: ")
    has_panic = test.panic_low is not None or test.panic_high is not None
    assert has_panic != ("Critical: none in the published surveys." in test.source)
    documented = next(line for line in documentation() if line.startswith(f"| {code} "))
    assert f"| {test.loinc} " in documented
    assert f"`{test.unit}`" in documented


def documentation() -> list[str]:
    docs = Path(deployments.demo.__file__).parents[2] / "docs" / "instruments.md"
    return docs.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("code", MEASURED)
def test_ranges_are_in_order_and_do_not_overlap(code: str) -> None:
    for one in TESTS[code].ranges:
        assert one.low is None or one.high is None or one.low < one.high
        assert one.panic_low is None or one.panic_high is None or one.panic_low < one.panic_high
    normal = [one for one in TESTS[code].ranges if one.low is not None or one.high is not None]
    for first, second in combinations(normal, 2):
        assert first.sex != second.sex or not overlap(first, second), (first, second)


def overlap(first: RangeInput, second: RangeInput) -> bool:
    ends = [one.age_to_days or 100_000 for one in (first, second)]
    return max(first.age_from_days, second.age_from_days) < min(ends)


@pytest.mark.parametrize("code", MEASURED)
def test_at_every_age_what_is_critical_lies_outside_what_is_normal_and_inside_what_is_plausible(code: str) -> None:
    test = TESTS[code]
    for sex in ("female", "male", "unknown"):
        for age in edges(test):
            one = limits(code, sex, age)
            given = [test.plausible_low, one.panic_low, one.low, one.high, one.panic_high, test.plausible_high]
            known = [limit for limit in given if limit is not None]
            assert known == sorted(set(known)), (sex, age)


@pytest.mark.parametrize("code", MEASURED)
def test_grown_men_and_women_have_a_range_and_so_has_every_age_the_source_covers(code: str) -> None:
    from_year = 1 if code in ("LAB-ALT", "LAB-NA", "LAB-K") else 0  # "not established" below one year
    for sex in ("female", "male"):
        for age in edges(TESTS[code]):
            one = limits(code, sex, age)
            assert (one.high is not None) == (age >= int(from_year * YEAR)), (sex, age)


@pytest.mark.parametrize("code", MEASURED)
def test_the_limits_of_adults_are_those_of_the_sources_and_of_the_documentation(code: str) -> None:
    women, men, critical = ADULTS[code]
    for sex, normal in (("female", women), ("male", men)):
        one = limits(code, sex, days(40))
        known = [one.low, one.high, one.panic_low, one.panic_high]
        assert ["-" if limit is None else str(limit) for limit in known] == [*normal.split(), *critical.split()]
    documented = next(line for line in documentation() if line.startswith(f"| {code} "))
    assert {*women.split(), *men.split(), *critical.split()} - {"-"} <= set(re.findall(r"\d+(?:\.\d+)?", documented))


def days(years: float) -> int:
    return int(years * YEAR)


CASES = [
    # test, sex, age in days, value, flag: from the sources, at the edges of ages and limits
    ("LAB-HGB", "male", days(40), "13.2", "normal"),
    ("LAB-HGB", "male", days(40), "13.1", "low"),
    ("LAB-HGB", "female", days(40), "13.1", "normal"),
    ("LAB-HGB", "female", days(40), "15.1", "high"),
    ("LAB-HGB", "female", days(40), "6.6", "low"),
    ("LAB-HGB", "female", days(40), "6.5", "critical_low"),
    ("LAB-HGB", "male", days(40), "19.9", "high"),
    ("LAB-HGB", "male", days(40), "20.0", "critical_high"),
    ("LAB-HGB", "female", 14, "20.0", "normal"),  # a newborn: beyond an adult's critical limit
    ("LAB-HGB", "female", 15, "20.0", "high"),
    ("LAB-HGB", "male", days(8), "11.5", "normal"),
    ("LAB-HGB", "male", days(18) - 1, "16.9", "normal"),
    ("LAB-HGB", "male", days(18), "16.9", "high"),
    ("LAB-HGB", "unknown", days(40), "12.0", None),
    ("LAB-HGB", "unknown", days(40), "6.0", "critical_low"),
    ("LAB-WBC", "male", days(40), "10.5", "normal"),
    ("LAB-WBC", "male", days(40), "37.1", "critical_high"),
    ("LAB-WBC", "male", 3, "30.0", "normal"),
    ("LAB-WBC", "male", days(18) - 1, "37.1", "high"),
    ("LAB-PLT", "male", days(40), "317", "normal"),
    ("LAB-PLT", "female", days(40), "317", "normal"),
    ("LAB-PLT", "male", days(40), "318", "high"),
    ("LAB-PLT", "female", days(40), "36", "critical_low"),
    ("LAB-PLT", "female", days(4), "50", "critical_low"),
    ("LAB-GLU", "male", days(40), "139", "normal"),
    ("LAB-GLU", "male", days(40), "45", "critical_low"),
    ("LAB-GLU", "male", 2, "40", "normal"),
    ("LAB-GLU", "male", 2, "33", "low"),
    ("LAB-GLU", "male", 2, "32", "critical_low"),
    ("LAB-GLU", "male", 31, "33", "critical_low"),
    ("LAB-CREA", "female", days(40), "1.05", "high"),
    ("LAB-CREA", "male", days(40), "1.05", "normal"),
    ("LAB-CREA", "male", days(40), "7.41", "critical_high"),
    ("LAB-CREA", "male", days(8), "3.81", "critical_high"),
    ("LAB-ALT", "female", days(40), "46", "high"),
    ("LAB-ALT", "male", days(40), "46", "normal"),
    ("LAB-ALT", "male", 200, "46", None),
    ("LAB-NA", "male", days(40), "119", "critical_low"),
    ("LAB-NA", "male", days(40), "158", "high"),
    ("LAB-NA", "male", days(10), "157", "critical_high"),
    ("LAB-K", "female", days(40), "6.3", "critical_high"),
    ("LAB-K", "female", days(10), "6.3", "high"),
    ("LAB-K", "female", 3, "7.8", None),  # a newborn: normal is not established, and not yet critical
    ("LAB-K", "female", 3, "7.9", "critical_high"),
    ("LAB-K", "female", None, "6.3", "critical_high"),
    ("LAB-TSH", "female", days(40), "4.3", "high"),
    ("LAB-TSH", "female", 5, "15.2", "normal"),
    ("LAB-TSH", "female", 6, "15.2", "high"),
    ("LAB-TNTHS", "female", days(40), "14", "normal"),
    ("LAB-TNTHS", "female", days(40), "15", "high"),
    ("LAB-TNTHS", "male", days(40), "22", "normal"),
    ("LAB-TNTHS", "unknown", days(40), "20", "high"),
    ("LAB-TNTHS", "male", days(40), "101", "critical_high"),
]


@pytest.mark.parametrize(("code", "sex", "age", "value", "flag"), CASES)
def test_a_value_has_the_flag_a_clinician_would_give(
    code: str, sex: str, age: int | None, value: str, flag: str | None
) -> None:
    assert flag_of(D(value), limits(code, sex, age)) == flag


def test_the_simulated_instrument_speaks_of_the_same_tests_and_measures_what_is_plausible() -> None:
    for code, test in TESTS.items():
        simulated = CATALOGUE[code]
        assert simulated.loinc == (test.loinc or "")
        assert (simulated.name, simulated.unit, simulated.specimen) == (test.name, test.unit, test.specimen_type)
        assert test.plausible_low is not None
        assert test.plausible_high is not None
        assert test.plausible_low <= simulated.lowest <= simulated.highest <= test.plausible_high
        for sex in ("female", "male") if code != EXAMPLE else ():
            grown = limits(code, sex, days(40))
            assert grown.panic_low is None or grown.panic_low < simulated.low
            assert grown.high is not None
            assert simulated.low <= grown.high
            assert grown.panic_high is None or simulated.high < grown.panic_high
