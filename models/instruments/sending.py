"""What is sent to an instrument, when it is sent again, and when that ends. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from models.instruments.ports import QueueRequest
from models.instruments.rules import EXPIRY_HOURS

FIRST_BACK_OFF = timedelta(minutes=10)
LONGEST_BACK_OFF = timedelta(hours=4)
POLL_INTERVAL = timedelta(minutes=10)
LAST_POLL = timedelta(hours=EXPIRY_HOURS - 1)
"""A result is asked for once more so long after queueing: an hour before the instrument may forget it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a request to an instrument is made of."""

    tenant_id: int
    assignment_id: int
    request_id: str
    patient_code: str
    test_name: str
    test_code: str
    sample_id: str
    priority: str
    specimen_type: str
    department_id: int | None


def request_for(order: Order, sent_body: bytes | None = None) -> QueueRequest:
    """What every attempt of this run of the test carries: what was sent before, where it was, and its key.

    An instrument that honours keys refuses a known key with other content: a patient merged, a test renamed or a
    department changed between two attempts must not change a byte.
    """
    return QueueRequest(sent_body or body_of(order), f"labwire-{order.tenant_id}-{order.request_id}")


def body_of(order: Order) -> bytes:
    """The documented payload of an order as it is now."""
    payload: Mapping[str, Any] = {
        "id": 0,
        "patientId": order.patient_code,
        "testName": order.test_name,
        "testCode": order.test_code,
        "sampleId": order.sample_id,
        "requestId": order.request_id,
        "priority": order.priority,
        "specimenType": order.specimen_type,
        "metadata": {
            "assignmentId": order.assignment_id,
            "vendorId": order.tenant_id,
            "departmentId": order.department_id,
        },
    }
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def next_attempt_at(attempts: int, now: datetime, *, wait_seconds: float | None = None) -> datetime:
    """When to send again after `attempts` sends (1 or more): 10, 20, 40 minutes and so on, 4 hours at most.

    What the instrument asked for (`wait_seconds`) counts where it is longer.
    """
    back_off = min(FIRST_BACK_OFF * (1 << min(max(attempts, 1) - 1, 10)), LONGEST_BACK_OFF)
    return now + max(back_off, timedelta(seconds=wait_seconds or 0))


def next_poll_at(now: datetime, queued_at: datetime | None) -> datetime:
    """When to ask for an unfinished result again: in 10 minutes, and in any case an hour before it may be forgotten."""
    usual = now + POLL_INTERVAL
    if queued_at is None:
        return usual
    last = queued_at + LAST_POLL
    return last if now < last < usual else usual
