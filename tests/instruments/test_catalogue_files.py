"""Reading a catalogue: every bad row named with its place and field."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import deployments.demo
from models.instruments.catalogue_files import COLUMNS, Problem, parse_catalogue
from models.instruments.catalogue_inputs import TestInput, check_loinc

pytestmark = pytest.mark.unit
DEMO = (Path(deployments.demo.__file__).parent / "catalogue.json").read_bytes()

CODES = ("718-7", "6690-2", "777-3", "2345-7", "2160-0", "1742-6", "3016-3", "67151-1")
"""As loinc.org lists them."""


@pytest.mark.parametrize("code", CODES)
def test_a_loinc_code_with_a_slip_is_refused(code: str) -> None:
    assert check_loinc(code) == code
    digits, check = code.split("-")
    with pytest.raises(ValueError, match="check digit"):
        check_loinc(f"{digits}-{(int(check) + 1) % 10}")


GOOD = {"code": "X", "name": "X", "specimen_type": "Serum", "unit": "mg/dL"}


@pytest.mark.parametrize(
    "changed",
    [
        {"unit": ""},
        {"unit": "mg / dL"},
        {"unit": "µg/L"},
        {"loinc": "718-8"},
        {"loinc": "718"},
        {"code": ""},
        {"code": "A\x00"},
        {"verification_levels": 4},
        {"verification_levels": 0},
        {"result_type": "number"},
        {"panic_low": "5", "panic_high": "4"},
        {"plausible_low": "5", "panic_low": "4"},
        {"panic_high": "5", "plausible_high": "4"},
        {"panic_low": "NaN"},
        {"panic_low": "Infinity"},
        {"result_type": "text", "panic_low": "1"},
        {"ranges": [{}]},
        {"ranges": [{"low": "2", "high": "1"}]},
        {"ranges": [{"low": "1", "age_from_days": 10, "age_to_days": 10}]},
        {"ranges": [{"low": "1", "age_from_days": -1}]},
        {"ranges": [{"low": "1", "sex": "f"}]},
        {"ranges": [{"low": "1"}, {"low": "2"}]},
        {"colour": "red"},
    ],
)
def test_a_test_that_makes_no_sense_is_refused(changed: dict[str, Any]) -> None:
    TestInput.model_validate(GOOD)
    with pytest.raises(ValidationError):
        TestInput.model_validate(GOOD | changed)


CSV = """code;loinc;name;specimen_type;unit;panic_low;sex;age_from_days;range_low;range_high
HGB;718-7;Haemoglobin;Blood;g/dL;6.0;female;6574;12.0;16.0
HGB;;;;;;male;6574;14.0;18.0

WBC;6690-2;Leucocytes;Blood;10*3/uL;;;;4.0;11.0
"""


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("separator", [";", ","])
def test_csv_has_a_row_for_each_range(separator: str, mark: str) -> None:
    parsed = parse_catalogue((mark + CSV.replace(";", separator)).encode(), "csv")
    assert parsed.problems == []
    assert parsed.places == {("tests", "HGB"): "line 2", ("tests", "WBC"): "line 5"}
    hgb = parsed.tests["HGB"]
    assert [(one.sex, one.low) for one in hgb.ranges] == [("female", Decimal("12.0")), ("male", Decimal("14.0"))]
    assert (hgb.panic_low, parsed.tests["WBC"].ranges[0].age_from_days) == (Decimal("6.0"), 0)


HEADER = "code,name,specimen_type,unit,range_low,range_high\n"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ("line 1", "header")),
        ("name,unit\n", ("line 1", "header")),
        ("code,code\n", ("line 1", "header")),
        ("code,colour\n", ("line 1", "header")),
        (HEADER + "A,A,Serum,mg/dL,1\n", ("line 2", "row")),
        (HEADER + "A,A,Serum,mg/dL,1,2,3\n", ("line 2", "row")),
        (HEADER + ",A,Serum,mg/dL,1,2\n", ("line 2", "code")),
        (HEADER + "A,A,Serum,mg/dL,one,2\n", ("line 2", "range_low")),
        (HEADER + "A,A,Serum,mg/dL,3,2\n", ("line 2", "row")),
        (HEADER + "A,A,Serum,,1,2\n", ("line 2", "row")),
        (HEADER + "A,A,Serum,mg/dL,1,2\nA,B,,,3,4\n", ("line 3", "name")),
        (HEADER + "A,A,Serum,mg/dL,1,2\nA,,,,3,x\n", ("line 3", "range_high")),
        (HEADER + 'A,"A,Serum\n', ("line 2", "row")),
        ('{"tests": []}', ("line 1", "header")),
    ],
)
def test_a_bad_csv_row_names_line_and_field(content: str, problem: tuple[str, str]) -> None:
    found = parse_catalogue(content.encode(), "csv").problems
    assert [(one.place, one.field) for one in found] == [problem]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ("line 1", "file")),
        (b"[]", ("file", "file")),
        (b'{"tests": [}', ("line 1", "file")),
        (b'{"test": []}', ("file", "file")),
        (b'{"tests": {}}', ("file", "tests")),
        (b'{"tests": [7]}', ("tests[0]", "row")),
        (b'{"tests": [{}]}', ("tests[0]", "code")),
        (b'{"panels": [{"code": "A", "name": "A", "tests": []}]}', ("panels[0]", "tests")),
        (b"\xff", ("file", "file")),
        (b"[" * 100_000, ("file", "file")),
    ],
)
def test_a_bad_json_entry_names_place_and_field(content: bytes, problem: tuple[str, str]) -> None:
    found = parse_catalogue(content, "json").problems
    assert (found[0].place, found[0].field) == problem


def test_a_code_twice_is_refused() -> None:
    found = parse_catalogue(json.dumps({"tests": [GOOD, GOOD]}).encode(), "json").problems
    assert found == [Problem("tests[1]", "code", "occurs already at tests[0]")]


def test_a_header_that_is_no_csv_is_a_problem_of_its_line() -> None:
    [problem] = parse_catalogue(b'"code', "csv").problems
    assert (problem.place, problem.field) == ("line 1", "header")


@given(st.binary(max_size=300), st.sampled_from(["json", "csv"]))
def test_no_file_crashes_the_reading(content: bytes, format_: Any) -> None:
    parse_catalogue(content, format_)


@given(st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=4))
def test_no_table_crashes_the_reading(rows: list[list[str]]) -> None:
    lines = [",".join(COLUMNS[:4]), *(",".join(row) for row in rows)]
    parse_catalogue("\n".join(lines).encode(errors="replace"), "csv")
