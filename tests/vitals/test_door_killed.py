"""Real API processes: killed under load, and told of a revoked key."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from models.vitals.stores.keys import list_keys, revoke_key
from tests.vitals.conftest import Worn
from tests.vitals.serving import Servers, servers


class Device(threading.Thread):
    """Posts one reading after another, each of another moment, and notes what it was answered."""

    def __init__(self, worn: Worn, hub: Servers, number: int, until: float) -> None:
        super().__init__()
        self.worn, self.hub, self.number, self.until = worn, hub, number, until
        self.answered: dict[int, str] = {}

    def run(self) -> None:
        start, sent = datetime.now(UTC) - timedelta(days=1 + self.number), 0
        with httpx.Client(base_url=self.hub.url, trust_env=False, timeout=10) as client:
            while time.monotonic() < self.until:
                sent += 1
                at = (start + timedelta(milliseconds=sent)).isoformat().replace("+00:00", "Z")
                body = {"device_id": "DEV001", "timestamp": at, "heart_rate": 60 + sent % 40}
                try:
                    answer = client.post(
                        "/api/iot/vitals/", json=body, headers={"Authorization": f"Bearer {self.worn.key}"}
                    )
                except httpx.HTTPError:
                    continue
                if answer.status_code == 200:
                    self.answered[answer.json()["vital_sign_id"]] = at


@pytest.mark.chaos
def test_every_answered_reading_is_there_once_although_the_api_is_killed(worn: Worn) -> None:
    worn.clinic.rows("UPDATE device SET rate_per_minute = 1000000 RETURNING id")
    with servers("api-1", "api-2") as hub:
        until = time.monotonic() + 8
        devices = [Device(worn, hub, number, until) for number in range(8)]
        for device in devices:
            device.start()
        for name in ("api-1", "api-2", "api-1"):
            time.sleep(1.5)
            hub.kill(name)
            hub.start(name)
        for device in devices:
            device.join(30)
    answered: dict[int, str] = {}
    for device in devices:
        assert not set(answered) & set(device.answered), "an id was given twice"
        answered |= device.answered
    rows = worn.clinic.rows("SELECT id, recorded_at FROM vital_sign")
    stored = {row.id: row.recorded_at.isoformat().replace("+00:00", "Z") for row in rows}
    assert len(answered) > 200
    assert {id_: at for id_, at in answered.items() if stored.get(id_) != at} == {}
    assert len({row.recorded_at for row in rows}) == len(rows), "none is stored twice"


@pytest.mark.contract
@pytest.mark.slow
def test_a_revoked_key_is_refused_by_every_process_at_once(worn: Worn) -> None:
    def post(hub: Servers) -> int:
        body: dict[str, Any] = {"device_id": "DEV001", "timestamp": datetime.now(UTC).isoformat(), "heart_rate": 70}
        headers = {"Authorization": f"Bearer {worn.key}", "Connection": "close"}
        return httpx.post(f"{hub.url}/api/iot/vitals/", json=body, headers=headers, trust_env=False).status_code

    with servers("api-1", "api-2") as hub:
        assert {post(hub) for _ in range(20)} == {200}
        with tenant_session(worn.clinic.tenant_id) as session:
            [key] = list_keys(session, worn.clinic.tenant_id, worn.device_id)
            revoke_key(session, worn.clinic.tenant_id, SYSTEM, worn.device_id, key.id)
        assert {post(hub) for _ in range(20)} == {401}


@pytest.mark.contract
@pytest.mark.slow
def test_the_rate_limit_holds_over_processes_and_a_restart(worn: Worn) -> None:
    """Each process may pass it by one group."""
    worn.clinic.rows("UPDATE device SET rate_per_minute = 20 RETURNING id")
    while datetime.now(UTC).second > 35:  # all within one minute
        time.sleep(1)
    statuses: list[int] = []

    def post(hub: Servers, number: int) -> None:
        body = {"device_id": "DEV001", "timestamp": datetime.now(UTC).isoformat(), "heart_rate": 60 + number % 40}
        headers = {"Authorization": f"Bearer {worn.key}", "Connection": "close"}
        statuses.append(
            httpx.post(f"{hub.url}/api/iot/vitals/", json=body, headers=headers, trust_env=False).status_code
        )

    with servers("api-1", "api-2") as hub:
        for number in range(30):
            post(hub, number)
        assert 20 <= statuses.count(200) <= 22
        hub.kill("api-1")
        hub.kill("api-2")
        hub.start("api-1")
        hub.wait()
        statuses.clear()
        for number in range(5):
            post(hub, 100 + number)
    assert statuses.count(200) <= 1
