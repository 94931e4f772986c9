"""A thousand critical readings of one patient at the same moment make one alert; too many of a device are refused."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from api.vitals import doors
from api.vitals.writer import MOST_REQUESTS
from tests.vitals.conftest import Clinic, Worn
from tests.vitals.raw_http import Answer, Header, request
from tests.vitals.serving import servers

pytestmark = pytest.mark.contract
DEVICES, OF_EACH = 8, 125
REQUESTS = DEVICES * OF_EACH


def headers_of(key: str) -> list[Header]:
    return [(b"Authorization", f"Bearer {key}".encode()), (b"Content-Type", b"application/json")]


def critical(clinic: Clinic, patient_id: int) -> list[bytes]:
    """A request for each reading, no two of the same device and moment."""
    newest, found = datetime.now(UTC), []
    for device in range(DEVICES):
        code = f"DEV{device:03}"
        key = clinic.key(clinic.device(code, patient_id))
        headers = headers_of(key)
        for number in range(OF_EACH):
            at = newest - timedelta(milliseconds=device + 100 * number)
            body = {"device_id": code, "timestamp": at.isoformat(), "heart_rate": 180 + number % 40}
            found.append(request("POST", "/api/iot/vitals/", headers, json.dumps(body).encode()))
    return found


async def all_at_once(url: str, requests: list[bytes]) -> list[Answer]:
    """The answers to requests that are all under way before the end of any is sent."""
    parts, release = urlsplit(url), asyncio.Event()
    under_way = 0

    async def ask(sent: bytes) -> Answer:
        nonlocal under_way
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(sent[:-1])
        await writer.drain()
        under_way += 1
        if under_way == len(requests):
            release.set()
        await release.wait()
        writer.write(sent[-1:])
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        first, *lines = head.decode().split("\r\n")
        return Answer(int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body)

    return await asyncio.gather(*(ask(sent) for sent in requests))


def test_a_thousand_critical_readings_of_one_patient_at_once_make_one_alert(clinic: Clinic) -> None:
    patient_id = clinic.patient()
    clinic.rows("UPDATE patient SET email = 'jo@home.example' RETURNING id")
    requests = critical(clinic, patient_id)
    with servers("api-1", "api-2") as hub:
        answers = asyncio.run(all_at_once(hub.url, requests))
    assert [answer.status for answer in answers] == [200] * REQUESTS
    assert sum(answer.json()["alerts_triggered"] for answer in answers) == 1
    stored = clinic.rows("SELECT id, alerts_triggered FROM vital_sign WHERE patient_id = :p", p=patient_id)
    assert {row.id for row in stored} == {answer.json()["vital_sign_id"] for answer in answers}
    assert len(stored) == REQUESTS
    assert sum(row.alerts_triggered for row in stored) == 1
    [alert] = clinic.rows("SELECT id, kind, level, closed_at FROM alert")
    assert (alert.kind, alert.level, alert.closed_at) == ("heart_rate_high", "critical", None)
    assert len(clinic.rows("SELECT FROM alert_question")) == 1
    assert [row.type for row in clinic.rows("SELECT type FROM outbox_event WHERE type LIKE 'alert.%'")] == [
        "alert.asked"
    ]
    assert len(clinic.rows("SELECT FROM device_activity WHERE status = 200")) == REQUESTS


def test_a_rate_limit_is_passed_by_at_most_one_group(worn: Worn, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests are under way: those that waited meanwhile are refused and written down, too."""
    now, limit = datetime.now(UTC), 20
    monkeypatch.setattr(doors, "utc_now", lambda: now)  # all in the same minute
    worn.clinic.rows("UPDATE device SET rate_per_minute = :limit RETURNING id", limit=limit)
    requests = []
    for number in range(REQUESTS):
        at = now - timedelta(milliseconds=number)
        body = {"device_id": "DEV001", "timestamp": at.isoformat(), "heart_rate": 75}
        requests.append(request("POST", "/api/iot/vitals/", headers_of(worn.key), json.dumps(body).encode()))
    answers = asyncio.run(all_at_once(address, requests))
    refused = [answer for answer in answers if answer.status == 429]
    stored = len(worn.clinic.rows("SELECT FROM vital_sign"))
    assert stored == len(answers) - len(refused)
    assert limit <= stored <= limit + MOST_REQUESTS
    assert {answer.body for answer in refused} == {b'{"success":false,"error":"Too many readings"}'}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    assert {answer.headers["ratelimit-limit"] for answer in refused} == {str(limit)}
