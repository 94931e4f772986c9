"""The instrument's answer as read, and a check that survives whatever is in it."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.instruments.flags import Range
from models.instruments.result_rules import ExpectedResult, Violation, check_result, limits_for, parse_result
from models.instruments.schemas import InstrumentResult

pytestmark = pytest.mark.unit
NOW = datetime(2025, 11, 12, 10, 35, tzinfo=UTC)
DOCUMENTED = b"""{
  "id": 12345, "patientId": "PAT-001", "testName": "CBC", "value": "12.5", "unit": "g/dL", "status": "completed",
  "remarks": "", "qualityControl": "Passed", "completedAt": "2025-11-12T10:30:00Z"
}"""
EXPECTED = ExpectedResult(
    assignment_id=789,
    status="Q",
    run_number=1,
    equipment_id=3,
    queue_id="12345",
    request_id="REQ-789",
    sample_id="SAMP-123",
    patient_code="PAT-001",
    patient_codes=frozenset({"PAT-001"}),
    sex="female",
    birth_date=None,
    test_id=1,
    test_code="LAB-CBC",
    test_name="CBC",
    result_type="numeric",
    unit="g/dL",
    plausible_low=Decimal(0),
    plausible_high=Decimal(30),
    panic_low=None,
    panic_high=None,
    ranges=(Range(None, 0, None, Decimal(12), Decimal(16)),),
    ordered_at=NOW - timedelta(hours=1),
    queued_at=NOW - timedelta(minutes=50),
)


def read(body: bytes) -> InstrumentResult:
    result = parse_result(body)
    assert isinstance(result, InstrumentResult)
    return result


def test_the_documented_answer_is_read_and_passes() -> None:
    result = read(DOCUMENTED)
    assert (result.id, result.value, result.unit, result.quality_control) == ("12345", "12.5", "g/dL", "Passed")
    assert check_result(EXPECTED, result, NOW) == []


def test_numbers_keep_the_text_they_were_written_in() -> None:
    assert read(b'{"id": "A-1", "status": "completed", "value": 12.50}').value == "12.50"
    assert read(b'{"id": 1, "status": "completed", "value": 7}').value == "7"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'"completed"', "body"),
        (b"\xff\xfe", "body"),
        (b'{"id": 1, "status": "completed"', "body"),
        (b'{"id": 1, "id": 2, "status": "completed"}', "body"),
        (b'{"id": 1, "status": "completed", "value": "1", "value": "2"}', "body"),
        (b'{"id": 1, "status": "completed", "value": NaN}', "body"),
        (b"[" * 100_000, "body"),
        (b'{"status": "completed"}', "id"),
        (b'{"id": true, "status": "completed"}', "id"),
        (b'{"id": 1}', "status"),
        (b'{"id": 1, "status": "COMPLETED"}', "status"),
        (b'{"id": 1, "status": "completed", "value": {"x": 1}}', "value"),
        (b'{"id": 1, "status": "completed", "completedAt": 1762943400}', "completedAt"),
        (b'{"id": 1, "status": "completed", "completedAt": "12.11.2025"}', "completedAt"),
        (b'{"id": 1, "status": "completed", "completedAt": "0001-01-01T00:00:00+14:00"}', "completedAt"),
        (b'{"id": 1, "status": "completed", "completedAt": "9999-12-31T23:59:59-14:00"}', "completedAt"),
        (b'{"id": 1, "status": "completed", "remarks": "\\ud800"}', "remarks"),
        (b'{"id": 1, "status": "completed", "remarks": "\\u0000"}', "remarks"),
    ],
)
def test_an_unreadable_answer_names_the_field(body: bytes, field: str) -> None:
    found = parse_result(body)
    assert isinstance(found, Violation)
    assert (found.rule, found.field) == ("unreadable", field)


def test_the_first_and_last_minute_that_count() -> None:
    for moment, rules in (
        (EXPECTED.ordered_at - timedelta(minutes=2), []),
        (EXPECTED.ordered_at - timedelta(minutes=2, seconds=1), ["time"]),
        (NOW + timedelta(minutes=2), []),
        (NOW + timedelta(minutes=2, seconds=1), ["time"]),
    ):
        result = read(DOCUMENTED).model_copy(update={"completed_at": moment})
        assert [found.rule for found in check_result(EXPECTED, result, NOW)] == rules


@pytest.mark.parametrize(
    ("value", "found"),
    [("0", []), ("30", []), ("-0.1", ["plausible"]), ("30.1", ["plausible"]), ("<=0", []), (">=30", []),
     ("<0", ["plausible"]), (">30", ["plausible"]), ("<0.1", []), (">29.9", [])],
)  # fmt: skip
def test_a_plausible_limit_is_plausible_and_nothing_beyond_it(value: str, found: list[str]) -> None:
    result = read(DOCUMENTED).model_copy(update={"value": value})
    assert [one.rule for one in check_result(EXPECTED, result, NOW)] == found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"test_name": "CBC"}, []),
        ({"test_name": "LAB-CBC"}, []),
        ({"test_name": "Old name"}, []),
        ({"test_name": "LAB-OLD", "test_code": "LAB-OLD"}, []),
        ({"test_name": None, "test_code": "LAB-CBC"}, []),
        ({"test_name": None, "test_code": "CBC"}, ["test"]),
        ({"test_name": "Older name"}, ["test"]),
        ({"test_name": None, "test_code": None}, ["test"]),
    ],
)
def test_a_test_may_be_named_as_it_is_or_as_it_was_sent(said: dict[str, str | None], found: list[str]) -> None:
    expected = replace(EXPECTED, sent_test_name="Old name", sent_test_code="LAB-OLD")
    result = read(DOCUMENTED).model_copy(update=said)
    assert [one.rule for one in check_result(expected, result, NOW)] == found


@pytest.mark.parametrize(
    ("at", "zone", "low"),
    [
        ("2025-11-11T22:59:59+00:00", "Africa/Lagos", "1"),
        ("2025-11-11T23:00:00+00:00", "Africa/Lagos", "12"),  # midnight there
        ("2025-11-12T05:59:59+06:00", "Africa/Lagos", "12"),
        ("2025-11-11T23:59:59+00:00", "UTC", "1"),
        ("2025-11-12T00:00:00+00:00", "UTC", "12"),
        ("2025-11-12T04:59:59+00:00", "America/New_York", "1"),
    ],
)
def test_a_birthday_begins_at_midnight_of_the_laboratory(at: str, zone: str, low: str) -> None:
    born = date(2007, 11, 12)  # 18 years, which are 6575 days
    ranges = (Range(None, 0, 6575, Decimal(1), None), Range(None, 6575, None, Decimal(12), None))
    expected = replace(EXPECTED, birth_date=born, ranges=ranges, time_zone=zone)
    assert limits_for(expected, datetime.fromisoformat(at)).low == Decimal(low)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(list(json.loads(DOCUMENTED))), json_values))
def test_no_answer_crashes_the_reading_or_the_check(changed: dict[str, Any]) -> None:
    body = json.dumps(json.loads(DOCUMENTED) | changed).encode()
    result = parse_result(body)
    if isinstance(result, Violation):
        return
    for found in check_result(EXPECTED, result, NOW):
        assert found.message
        assert "PAT-001" not in found.message


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reading(body: bytes) -> None:
    parse_result(body)
