"""Each fault of the simulated analyser does what it says, and only where it is told to."""

import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from deployments.simulators.instrument import InstrumentFleet, SimulatedInstrument
from deployments.simulators.instrument_faults import FAULTS
from tests.simulators.conftest import DOCUMENTED, client_of, order

pytestmark = pytest.mark.contract


def queue(client: httpx.Client, request_id: str = "REQ-456", **options: Any) -> httpx.Response:
    return client.post("/api/queue", json=order(request_id), **options)


def result(client: httpx.Client, request_id: str = "REQ-456") -> dict[str, Any]:
    queue_id = queue(client, request_id).json()["id"]
    answer: dict[str, Any] = client.get(f"/api/results/{queue_id}").json()
    return answer


@pytest.mark.parametrize(
    ("fault", "field", "value"),
    [
        ("wrong_id", "id", 999_999_999),
        ("wrong_patient", "patientId", "PAT-OTHER"),
        ("wrong_test", "testName", "Other test"),
        ("wrong_unit", "unit", "mmol/mol"),
        ("wrong_sample", "sampleId", "SAMP-OTHER"),
        ("failed_qc", "qualityControl", "Failed"),
        ("unparsable_value", "value", "#####"),
        ("missing_value", "value", None),
        ("unknown_status", "status", "paused"),
    ],
)
def test_a_spoilt_result_is_spoilt_once(
    instrument: SimulatedInstrument, client: httpx.Client, fault: str, field: str, value: Any
) -> None:
    queue_id = queue(client).json()["id"]
    sound = client.get(f"/api/results/{queue_id}").json()
    instrument.faults.set(fault, times=1)
    spoilt = client.get(f"/api/results/{queue_id}").json()
    assert spoilt == sound | {field: value}
    assert client.get(f"/api/results/{queue_id}").json() == sound


def test_impossible_times(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    instrument.faults.set("completed_in_future", 2, times=1)
    assert datetime.fromisoformat(result(client)["completedAt"]) > datetime.now(UTC) + timedelta(hours=1)
    instrument.faults.set("completed_before_queued", 2, times=1)
    assert datetime.fromisoformat(result(client)["completedAt"]) < datetime.now(UTC) - timedelta(hours=1)
    instrument.faults.set("completed_without_zone", times=1)
    assert datetime.fromisoformat(result(client)["completedAt"]).tzinfo is None


def test_a_fault_keeps_to_its_request_and_operation(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    instrument.faults.set("server_error", 502, request_id="REQ-bad", operation="queue")
    assert queue(client, "REQ-bad").status_code == 502
    assert queue(client, "REQ-good").status_code == 200
    assert client.get("/api/status").status_code == 200
    assert len(instrument.entries) == 1
    instrument.faults.clear("server_error")
    assert queue(client, "REQ-bad").status_code == 200


@pytest.mark.parametrize(("fault", "status"), [("rate_limited", 429), ("unavailable", 503)])
def test_try_again_later(instrument: SimulatedInstrument, client: httpx.Client, fault: str, status: int) -> None:
    instrument.faults.set(fault, 7, times=1)
    answer = queue(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
    assert instrument.entries == ()
    assert queue(client).status_code == 200


def test_accepted_then_no_answer(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    instrument.faults.set("timeout_after_accepting", times=1)
    with pytest.raises(httpx.ReadTimeout):
        queue(client, timeout=0.3, headers={"Idempotency-Key": "k"})
    assert len(instrument.entries) == 1
    assert instrument.journal.entries()[0].status is None
    assert queue(client, headers={"Idempotency-Key": "k"}).json()["id"] == 12345
    assert len(instrument.entries) == 1


def test_no_answer_and_not_accepted(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    instrument.faults.set("timeout_before_accepting", times=1)
    with pytest.raises(httpx.ReadTimeout):
        queue(client, timeout=0.3)
    assert instrument.entries == ()
    assert instrument.journal.count("fault:timeout_before_accepting") == 1


def test_late_answers(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    began = time.perf_counter()
    instrument.faults.set("timeout_after_accepting", 0.2, times=1)
    assert queue(client).status_code == 200
    instrument.faults.set("latency_ms", 200, times=1)
    assert client.get("/api/status").status_code == 200
    assert time.perf_counter() - began >= 0.4


def test_latency_starts_after_the_order_has_taken_effect(instrument: SimulatedInstrument) -> None:
    instrument.faults.set("latency_ms", 60_000)
    with client_of(instrument) as client, pytest.raises(httpx.ReadTimeout):
        queue(client, timeout=0.2)
    assert instrument.journal.count("queued") == len(instrument.entries) == 1


def test_refused_connections_and_back(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    assert client.get("/api/status").status_code == 200
    instrument.faults.set("refuse_connections")
    with pytest.raises(httpx.ConnectError):
        client.get("/api/status")
    instrument.faults.clear("refuse_connections")
    assert client.get("/api/status").status_code == 200


def test_broken_slow_and_oversize_bodies(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    instrument.faults.set("broken_json", times=1)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        queue(client).json()
    instrument.faults.set("slow_body", 0.3, times=1)
    began = time.perf_counter()
    assert client.get("/api/status").json()["status"] == "online"
    assert time.perf_counter() - began >= 0.3
    instrument.faults.set("oversize_body", 3_000_000, times=1)
    answer = client.get("/api/status")
    assert len(answer.content) >= 3_000_000
    assert "content-length" not in answer.headers


def test_repeated_ids_failed_runs_and_stuck_orders(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    first = queue(client, "REQ-1").json()["id"]
    instrument.faults.set("repeat_id", times=1)
    assert queue(client, "REQ-2").json()["id"] == first
    assert len(instrument.entries) == 2
    instrument.faults.set("fail_run", "short sample", times=1)
    failed = result(client, "REQ-3")
    assert (failed["status"], failed["remarks"], failed["value"]) == ("failed", "short sample", None)
    instrument.faults.set("stuck", "running", request_id="REQ-4")
    assert result(client, "REQ-4")["status"] == "running"
    assert result(client, "REQ-5")["status"] == "completed"
    instrument.faults.set("status_word", "calibrating", times=1)
    assert client.get("/api/status").json() | {"lastCalibration": ""} == {
        "status": "calibrating",
        "queueLength": 1,
        "lastCalibration": "",
    }


@pytest.mark.parametrize(
    ("arguments", "limits"),
    [
        (("no_such_fault",), {}),
        (("latency_ms", "slow"), {}),
        (("latency_ms", -1), {}),
        (("wrong_patient", 5), {}),
        (("broken_json", "yes"), {}),
        (("server_error", 500), {"times": 0}),
        (("server_error", 500), {"operation": "other"}),
        (("refuse_connections",), {"times": 1}),
    ],
)
def test_the_switchboard_refuses_nonsense(arguments: tuple[Any, ...], limits: dict[str, Any]) -> None:
    instrument = SimulatedInstrument()
    with pytest.raises(ValueError, match=r"fault|fit|times|operation|limited"):
        instrument.faults.set(*arguments, **limits)


class Door(ThreadingHTTPServer):
    """A push door that answers 503 twice and then takes everything."""

    received: list[tuple[str, bytes]]


class DoorHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        door = self.server
        assert isinstance(door, Door)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        door.received.append((self.headers["Authorization"], body))
        self.send_response(503 if len(door.received) <= 2 else 204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_finished_results_are_pushed_until_taken(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    door = Door(("127.0.0.1", 0), DoorHandler)
    door.received = []
    Thread(target=door.serve_forever, daemon=True).start()
    instrument.options.push_url = f"http://127.0.0.1:{door.server_port}/push"
    instrument.options.push_token = "push-token"
    instrument.faults.set("push_twice", times=1)
    pulled = result(client)
    deadline = time.monotonic() + 60
    while instrument.journal.count("pushed") < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    door.shutdown()
    door.server_close()
    assert instrument.journal.count("push-failed") == 2
    assert [token for token, _ in door.received] == ["Bearer push-token"] * 4
    assert len({body for _, body in door.received}) == 1
    assert httpx.Response(200, content=door.received[0][1]).json() == pulled


def test_the_control_panel() -> None:
    with InstrumentFleet(2, control=0, queue_seconds=0, run_seconds=0) as fleet:
        panel = httpx.Client(base_url=f"{fleet.control_url}/", trust_env=False)
        second = {"instrument": 1}
        assert panel.post("faults", params=second, json={"name": "wrong_unit", "times": 3}).status_code == 200
        with client_of(fleet.instruments[1]) as client:
            assert client.get("/control/journal").status_code == 404
            assert result(client)["unit"] == "mmol/mol"
        assert [line["outcome"] for line in panel.get("journal", params=second).json()] == [
            "refused",
            "queued",
            "fetched:completed",
        ]
        assert panel.get("journal").json() == []
        assert panel.get("queue", params=second).json()[0]["request"] == DOCUMENTED
        assert panel.post("options", params=second, json={"honours_keys": False}).status_code == 200
        assert fleet.instruments[1].options.honours_keys is False
        assert panel.post("faults", json={"name": "refuse_connections"}).status_code == 200
        with client_of(fleet.instruments[0]) as client, pytest.raises(httpx.ConnectError):
            client.get("/api/status")
        assert panel.delete("faults").json() == []
        assert panel.post("advance", params=second, json={"hours": 25}).status_code == 200
        assert panel.post("forget", params=second, json={}).json() == {"forgotten": 1}
        overview = httpx.get(str(fleet.control_url)).json()
        assert [one["url"] for one in overview["instruments"]] == [one.url for one in fleet.instruments]
        assert set(overview["faults"]) == set(FAULTS)
        assert panel.post("faults", json={"name": "no_such"}).status_code == 422
        assert panel.post("faults", json={"name": "stuck", "colour": "red"}).status_code == 422
        assert panel.post("faults", content=b'{"name": "stuck"}').status_code == 415
        assert panel.get("faults", params={"instrument": 2}).status_code == 422
        assert panel.get("faults", headers={"Host": "example.org"}).status_code == 400
        panel.close()
