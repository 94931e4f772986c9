"""What is sent, when it is sent again, and when a result is asked for again: the pure part."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from models.instruments.sending import Order, next_attempt_at, next_poll_at, request_for

pytestmark = pytest.mark.unit
NOW = datetime(2025, 11, 12, 10, 30, tzinfo=UTC)
ORDER = Order(
    tenant_id=1,
    assignment_id=789,
    request_id="REQ-456",
    patient_code="PAT-Ä",
    test_name="CBC",
    test_code="LAB-CBC",
    sample_id="SAMP-123",
    priority="routine",
    specimen_type="Blood",
    department_id=None,
)


def test_the_payload_is_the_documented_one_name_for_name() -> None:
    request = request_for(ORDER)
    assert json.loads(request.body) == {
        "id": 0,
        "patientId": "PAT-Ä",
        "testName": "CBC",
        "testCode": "LAB-CBC",
        "sampleId": "SAMP-123",
        "requestId": "REQ-456",
        "priority": "routine",
        "specimenType": "Blood",
        "metadata": {"assignmentId": 789, "vendorId": 1, "departmentId": None},
    }
    assert request.idempotency_key == "labwire-1-REQ-456"
    assert "PAT" not in repr(request)


def test_what_was_sent_is_sent_again_under_the_same_key() -> None:
    request = request_for(ORDER, b'{"id":0}')
    assert (request.body, request.idempotency_key) == (b'{"id":0}', request_for(ORDER).idempotency_key)


@pytest.mark.parametrize(
    ("attempts", "minutes"), [(0, 10), (1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 240), (7, 240), (10**6, 240)]
)
def test_pauses_double_up_to_four_hours(attempts: int, minutes: int) -> None:
    assert next_attempt_at(attempts, NOW) == NOW + timedelta(minutes=minutes)


@pytest.mark.parametrize(("wait", "seconds"), [(None, 600), (0, 600), (599, 600), (601, 601), (86_400, 86_400)])
def test_what_the_instrument_asked_for_counts_where_it_is_longer(wait: float | None, seconds: int) -> None:
    assert next_attempt_at(1, NOW, wait_seconds=wait) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("queued_ago", "minutes"),
    [
        (timedelta(0), 10),
        (timedelta(hours=22, minutes=49), 10),
        (timedelta(hours=22, minutes=50), 10),
        (timedelta(hours=22, minutes=51), 9),
        (timedelta(hours=22, minutes=59), 1),
        (timedelta(hours=23), 10),
        (timedelta(hours=23, minutes=1), 10),
        (timedelta(days=3), 10),
    ],
)
def test_a_result_is_asked_for_every_ten_minutes_and_an_hour_before_it_may_be_forgotten(
    queued_ago: timedelta, minutes: int
) -> None:
    assert next_poll_at(NOW, NOW - queued_ago) == NOW + timedelta(minutes=minutes)


def test_without_a_time_of_queueing_it_is_asked_for_in_ten_minutes() -> None:
    assert next_poll_at(NOW, None) == NOW + timedelta(minutes=10)
