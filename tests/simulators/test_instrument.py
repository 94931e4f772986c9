"""The simulated analyser keeps to the documented interface and takes nothing else."""

import calendar
import json
import ssl
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.simulators.instrument import InstrumentFleet, SimulatedInstrument
from deployments.simulators.instrument_catalogue import CATALOGUE, measure
from tests.simulators.conftest import DOCUMENTED, client_of, order

pytestmark = pytest.mark.contract


def changed(**changes: Any) -> dict[str, Any]:
    return DOCUMENTED | changes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in DOCUMENTED.items() if key != name}


def test_the_documented_exchange(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    began = int(time.time())
    queued = client.post("/api/queue", json=DOCUMENTED)
    assert (queued.status_code, queued.json()) == (200, {"id": 12345, "status": "queued", "queuePosition": 1})
    result = client.get("/api/results/12345").json()
    completed_at = result.pop("completedAt")
    assert result == {
        "id": 12345,
        "patientId": "PAT-001",
        "testName": "CBC",
        "value": "12.5",
        "unit": "g/dL",
        "status": "completed",
        "remarks": "",
        "qualityControl": "Passed",
    }
    assert began <= calendar.timegm(time.strptime(completed_at, "%Y-%m-%dT%H:%M:%SZ")) <= time.time()
    status = client.get("/api/status").json()
    assert status == {"status": "online", "queueLength": 0, "lastCalibration": "2025-11-10T08:00:00Z"}


@pytest.mark.parametrize("name", list(DOCUMENTED))
def test_every_field_is_required(instrument: SimulatedInstrument, client: httpx.Client, name: str) -> None:
    answer = client.post("/api/queue", json=without(name))
    assert (answer.status_code, answer.json()["field"]) == (400, name)
    assert instrument.entries == ()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (changed(colour="red"), "colour"),
        (changed(id=1), "id"),
        (changed(id="0"), "id"),
        (changed(patientId=1), "patientId"),
        (changed(sampleId=""), "sampleId"),
        (changed(priority="STAT"), "priority"),
        (changed(priority="high"), "priority"),
        (changed(metadata=None), "metadata"),
        (changed(metadata={"assignmentId": 1, "vendorId": 1}), "metadata.departmentId"),
        (changed(metadata={"assignmentId": "1", "vendorId": 1, "departmentId": 1}), "metadata.assignmentId"),
        (changed(metadata={"assignmentId": 1, "vendorId": 1, "departmentId": 1, "x": 1}), "metadata.x"),
        (without("patientId") | {"patient_id": "PAT-001"}, "patientId"),
        ([DOCUMENTED], "body"),
    ],
)
def test_wrong_bodies_are_refused_and_the_field_is_named(
    instrument: SimulatedInstrument, client: httpx.Client, body: Any, field: str
) -> None:
    answer = client.post("/api/queue", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert field in answer.json()["error"]
    assert instrument.entries == ()
    assert instrument.journal.count("refused") == 1


def test_other_refusals(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    body = json.dumps(DOCUMENTED).encode()
    for headers in ({"Content-Type": "text/plain"}, {}):
        assert client.post("/api/queue", content=body, headers=headers).status_code == 415
    as_json = {"Content-Type": "application/json; charset=utf-8"}
    assert client.post("/api/queue", content=b"{", headers=as_json).json() == {"error": "the body is not JSON"}
    assert client.post("/api/queue", content=b" " * 70_000 + body, headers=as_json).status_code == 413
    assert client.post("/api/queue?x=1", json=DOCUMENTED).status_code == 400
    assert client.get("/api/queue").status_code == 405
    assert client.post("/api/results/1").headers["allow"] == "GET"
    assert client.get("/api/other").status_code == 404
    assert client.get("/api/results/1").status_code == 404
    assert client.get("/api/results/one").status_code == 400
    unknown = client.post("/api/queue", json=changed(testCode="LAB-XYZ"))
    assert (unknown.status_code, unknown.json()["field"]) == (422, "testCode")
    assert client.post("/api/queue", json=DOCUMENTED, headers={"Idempotency-Key": "k" * 300}).status_code == 400
    assert instrument.entries == ()
    assert client.post("/api/queue", content=body, headers=as_json).status_code == 200


def test_keys_rotate_by_overlap_and_nothing_is_answered_without_one() -> None:
    with SimulatedInstrument(api_keys=("old", "new"), auth_header="X-Analyser-Key") as instrument:
        for path in ("/api/status", "/api/results/1"):
            answer = httpx.get(instrument.url + path)
            assert (answer.status_code, answer.json()["error"]) == (401, "missing header X-Analyser-Key")
        answers = {
            key: httpx.get(f"{instrument.url}/api/status", headers={"X-Analyser-Key": key}).status_code
            for key in ("old", "new", "older", "")
        }
        assert answers == {"old": 200, "new": 200, "older": 401, "": 401}
        assert httpx.post(f"{instrument.url}/api/queue", json=DOCUMENTED).status_code == 401
        instrument.options.api_keys = ("new",)
        assert httpx.get(f"{instrument.url}/api/status", headers={"X-Analyser-Key": "old"}).status_code == 401
        instrument.options.public_status = True
        assert httpx.get(f"{instrument.url}/api/status").status_code == 200
        assert instrument.entries == ()


def test_an_honoured_key_makes_one_entry(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    first, again = (
        client.post("/api/queue", json=DOCUMENTED, headers={"Idempotency-Key": "assignment-789"}) for _ in range(2)
    )
    assert first.json()["id"] == again.json()["id"]
    other = client.post("/api/queue", json=order(patientId="PAT-2"), headers={"Idempotency-Key": "assignment-789"})
    assert other.status_code == 409
    reordered = dict(reversed(DOCUMENTED.items()))
    assert client.post("/api/queue", json=reordered, headers={"Idempotency-Key": "assignment-789"}).status_code == 200
    assert len(instrument.entries) == 1
    outcomes = [entry.outcome for entry in instrument.journal.entries(method="POST")]
    assert outcomes == ["queued", "repeated", "refused", "repeated"]


def test_a_key_not_honoured_makes_a_second_entry(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    instrument.options.honours_keys = False
    for _ in range(2):
        client.post("/api/queue", json=DOCUMENTED, headers={"Idempotency-Key": "assignment-789"})
    assert len(instrument.entries) == instrument.journal.count("queued", request_id="REQ-456") == 2


def test_states_follow_each_other_and_carry_no_value_early() -> None:
    with SimulatedInstrument(queue_seconds=0.15, run_seconds=0.15) as instrument, client_of(instrument) as client:
        queue_id = client.post("/api/queue", json=DOCUMENTED).json()["id"]
        seen: list[str] = []
        while "completed" not in seen:
            result = client.get(f"/api/results/{queue_id}").json()
            if result["status"] not in seen:
                seen.append(result["status"])
            done = result["status"] == "completed"
            assert all(
                (result[name] is not None) is done for name in ("value", "unit", "qualityControl", "completedAt")
            )
        assert seen == ["queued", "running", "completed"]


def test_the_queue_takes_stat_first(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    instrument.options.queue_seconds = 60
    places = [
        client.post("/api/queue", json=order(f"REQ-{number}", priority=priority)).json()["queuePosition"]
        for number, priority in enumerate(["routine", "routine", "stat", "urgent", "stat", "routine"])
    ]
    assert places == [1, 2, 1, 2, 2, 6]
    assert client.get("/api/status").json()["queueLength"] == 6


def test_results_are_kept_for_24_hours(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    queue_id = client.post("/api/queue", json=DOCUMENTED, headers=key).json()["id"]
    instrument.advance_hours(23.9)
    kept = client.get(f"/api/results/{queue_id}")
    assert kept.status_code == 200
    instrument.advance_hours(0.2)
    assert client.get(f"/api/results/{queue_id}").status_code == 404
    later = client.post("/api/queue", json=DOCUMENTED, headers=key).json()["id"]
    assert later != queue_id
    assert client.get(f"/api/results/{later}").status_code == 200
    assert instrument.forget("REQ-other") == 0
    assert instrument.forget("REQ-456") == 1
    assert client.get(f"/api/results/{later}").status_code == 404


def test_switches_of_the_result(instrument: SimulatedInstrument, client: httpx.Client) -> None:
    instrument.options.returns_sample = True
    queue_id = client.post("/api/queue", json=DOCUMENTED).json()["id"]
    assert client.get(f"/api/results/{queue_id}").json()["sampleId"] == "SAMP-123"
    instrument.options.omits_unfinished, instrument.options.queue_seconds = True, 60
    waiting = client.post("/api/queue", json=order("REQ-2")).json()["id"]
    assert set(client.get(f"/api/results/{waiting}").json()) == {"id", "patientId", "testName", "status", "remarks"}


def test_values_are_repeatable_and_mostly_normal() -> None:
    wanted = {"LAB-HGB", "LAB-WBC", "LAB-PLT", "LAB-GLU", "LAB-CREA", "LAB-ALT", "LAB-TSH", "LAB-TNTHS"}
    assert wanted <= set(CATALOGUE)
    for code in wanted:
        test = CATALOGUE[code]
        values = [Decimal(measure(test, f"SAMP-{number}", "REQ-1")) for number in range(400)]
        assert values == [Decimal(measure(test, f"SAMP-{number}", "REQ-1")) for number in range(400)]
        assert all(test.lowest <= value <= test.highest for value in values)
        abnormal = sum(not test.low <= value <= test.high for value in values)
        assert 10 <= abnormal <= 100, code


def test_https_with_a_private_authority(certificate: tuple[Path, Path], trust: ssl.SSLContext) -> None:
    chain, key = certificate
    with SimulatedInstrument(certificate=chain, private_key=key) as instrument:
        assert instrument.url.startswith("https://")
        with client_of(instrument, verify=trust) as client:
            assert client.get("/api/status").status_code == 200
        with client_of(instrument) as stranger, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.get("/api/status")


def test_a_fleet_shares_a_key_but_nothing_else() -> None:
    with InstrumentFleet(3, queue_seconds=0, run_seconds=0) as fleet:
        assert len({one.port for one in fleet.instruments}) == 3
        for one in fleet.instruments:
            with client_of(one) as client:
                client.post("/api/queue", json=DOCUMENTED)
        fleet.instruments[1].faults.set("refuse_connections")
        assert [len(one.entries) for one in fleet.instruments] == [1, 1, 1]
        with client_of(fleet.instruments[0]) as alive, client_of(fleet.instruments[1]) as dead:
            assert alive.get("/api/status").status_code == 200
            with pytest.raises(httpx.ConnectError):
                dead.get("/api/status")


def test_a_port_in_use_is_refused(instrument: SimulatedInstrument) -> None:
    with pytest.raises(OSError, match="in use"):
        SimulatedInstrument(port=instrument.port)


def test_answers_do_not_wait_for_a_delayed_acknowledgement(
    instrument: SimulatedInstrument, client: httpx.Client
) -> None:
    client.get("/api/status")
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        client.get("/api/status")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.04  # without TCP_NODELAY not one is quicker, however quick the machine
