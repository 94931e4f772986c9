"""The JSON API: a test goes from order to release through it, and what is wrong is said in the documented way."""

from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api import runs
from models.kernel.tenancy import tenant_session
from tests.api.helpers import audited, make_user, signed_in
from tests.conftest import Database
from tests.instruments.helpers import Lab, make_lab

pytestmark = pytest.mark.api
A = "/api/v1/assignments"
ORDER = {"patient_code": "PAT-001", "test_code": "LAB-HGB", "sample_id": "SAMP-123"}


@pytest.fixture(autouse=True)
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """The runs that routes ask for; no server is called."""
    wishes: list[tuple[str, list[int]]] = []

    class Noted:
        def add(self, flow: str, tenant: str, ids: Any) -> None:
            wishes.append((flow, sorted(ids)))

    monkeypatch.setattr(runs, "_wishes", Noted)
    return wishes


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


def person(lab: Lab, name: str, *roles: str) -> TestClient:
    make_user(lab.tenant_id, f"{name}@alpha.org", *roles)
    return signed_in(f"{name}@alpha.org")


@pytest.fixture
def tech(lab: Lab) -> TestClient:
    return person(lab, "tech", "technician")


def ordered(browser: TestClient, **changed: Any) -> list[dict[str, Any]]:
    answer = browser.post(A, json={k: v for k, v in (ORDER | changed).items() if v is not None})
    assert answer.status_code == 201, answer.text
    return list(answer.json()["assignments"])


def analysed(lab: Lab, tech: TestClient, value: str = "13.5") -> dict[str, Any]:
    (row,) = ordered(tech, test_code="LAB-HGB")
    answer = tech.post(f"{A}/{row['id']}/result", json={"value": value, "unit": "g/dL"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_from_order_to_release(lab: Lab, tech: TestClient, asked_for: list[Any]) -> None:
    (row,) = ordered(tech, priority="stat")
    one = row["id"]
    assert (row["status"], row["request_id"], row["patient_code"]) == ("P", f"REQ-{one}", "PAT-001")
    assert asked_for == [("submit-assignments", [one])]
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE assignment SET status = 'Q', queue_id = '12345', queued_at = now()"))
        session.execute(text("UPDATE delivery SET state = 'done'"))
    assert tech.post(f"{A}/{one}/fetch").json()["status"] == "Q"
    assert asked_for[-1] == ("poll-results", [one])
    assert lab.answer(one).what == "completed"
    version = tech.get(f"{A}/{one}").json()["version"]
    for name in ("vera", "victor"):
        verifier = person(lab, name, "verifier")
        answer = verifier.post(f"{A}/{one}/verify", json={"version": version})
        assert answer.status_code == 200, answer.text
        version = answer.json()["version"]
    answer = verifier.post(f"{A}/{one}/release", json={"version": version})
    assert answer.json()["status"] == "R"
    assert asked_for[-1][0] == "deliver-messages"
    detail = tech.get(f"{A}/{one}").json()
    assert detail["released"]["raw_value"] == "13.5"
    assert [level["name"] for level in detail["results"][0]["verifications"]] == ["Vera", "Victor"]
    entries = tech.get(f"{A}/{one}/timeline").json()
    assert {"audit", "submission", "message", "result", "verification"} <= {entry["kind"] for entry in entries}
    assert len(audited(lab.tenant_id, "patient.read")) >= 3
    listed = tech.get(A, params={"status": ["R"]}).json()
    assert (listed["total"], listed["counts"]["R"], listed["counts"]["P"]) == (1, 1, 0)
    assert listed["items"][0]["id"] == one


def test_a_panel_answers_with_an_assignment_per_test(tech: TestClient) -> None:
    rows = ordered(tech, test_code=None, panel_code="CBC")
    assert [row["test_code"] for row in rows] == ["LAB-HGB", "LAB-WBC"]
    assert {row["panel_code"] for row in rows} == {"CBC"}


@pytest.mark.parametrize(
    ("changed", "status", "field"),
    [
        ({"patient_code": "NOBODY"}, 422, "patient_code"),
        ({"test_code": "NOTHING"}, 422, "test_code"),
        ({"panel_code": "CBC"}, 422, "body"),
        ({"sample_id": ""}, 422, "sample_id"),
        ({"sample_id": "A\x00B"}, 422, "sample_id"),
        ({"sample_id": None}, 422, "sample_id"),
        ({"priority": "now"}, 422, "priority"),
        ({"equipment_id": 0}, 422, "equipment_id"),
        ({"equipment_id": 2**70}, 422, "equipment_id"),
        ({"equipment_id": 99_999}, 404, None),
        ({"patient_code": None, "patient_id": 99_999}, 404, None),
        ({"colour": "red"}, 422, "colour"),
    ],
)
def test_a_malformed_order_names_the_field(
    lab: Lab, tech: TestClient, changed: dict[str, Any], status: int, field: str | None
) -> None:
    answer = tech.post(A, json={k: v for k, v in (ORDER | changed).items() if v is not None})
    body = answer.json()
    assert (answer.status_code, body["success"]) == (status, False)
    assert [problem["field"] for problem in body.get("fields", [])] == ([field] if field else [])
    with tenant_session(lab.tenant_id) as session:
        assert session.scalar(text("SELECT count(*) FROM assignment")) == 0


def test_wrong_states_are_409_and_name_both(lab: Lab, tech: TestClient) -> None:
    row = analysed(lab, tech)
    for path, body, words in (
        ("send", None, ("analysis complete", "pending")),
        ("fetch", None, ("analysis complete", "queued")),
        ("cancel", {"reason": "mistake"}, ("analysis complete", "cancelled")),
        ("result", {"value": "1", "unit": "g/dL"}, ("analysis complete",)),
        ("resolve-unknown", {"outcome": "resend", "reason": "mistake"}, ("analysis complete", "unknown")),
    ):
        answer = tech.post(f"{A}/{row['id']}/{path}", json=body)
        assert answer.status_code == 409, f"{path}: {answer.text}"
        for word in words:
            assert word in answer.json()["error"], path


def test_cannot_send_says_which_reason(lab: Lab, tech: TestClient) -> None:
    (row,) = ordered(tech)
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE equipment SET status = 'inactive', api_endpoint = NULL"))
    answer = tech.post(f"{A}/{row['id']}/send")
    assert answer.status_code == 409
    assert "inactive" in answer.json()["error"]
    assert "no endpoint" in answer.json()["error"]
    assert len(tech.get(f"{A}/{row['id']}").json()["cannot_send"]) == 2


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("result", {"value": "12,5", "unit": "g/dL"}, "value"),
        ("result", {"value": "12.5", "unit": "mg/dL"}, "unit"),
        ("result", {"value": "12.5"}, "unit"),
        ("result", {"value": "12.5", "unit": "g/dL", "completed_at": "2025-01-01T00:00:00"}, "completed_at"),
        ("cancel", {}, "reason"),
        ("cancel", {"reason": "x"}, "reason"),
        ("comments", {"body": ""}, "body"),
        ("instrument", {"equipment_id": "one"}, "equipment_id"),
        ("resolve-unknown", {"outcome": "queued", "reason": "seen there"}, "body"),
    ],
)
def test_malformed_is_422_with_the_field(tech: TestClient, path: str, body: dict[str, Any], field: str) -> None:
    (row,) = ordered(tech)
    answer = tech.post(f"{A}/{row['id']}/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert [problem["field"] for problem in answer.json()["fields"]] == [field]
    assert tech.get(f"{A}/{row['id']}").json()["status"] == "P"


def test_a_doctor_sees_released_results_alone(lab: Lab, tech: TestClient) -> None:
    row = analysed(lab, tech, "20.5")
    doctor = person(lab, "doc", "doctor")
    seen = doctor.get(f"{A}/{row['id']}").json()
    assert (seen["results"], seen["released"], seen["flag"], seen["previous"]) == ([], None, None, None)
    assert doctor.get(A).json()["items"][0]["flag"] is None
    assert "20.5" not in doctor.get(f"{A}/{row['id']}").text
    assert doctor.get(f"{A}/{row['id']}/timeline").status_code == 403
    version = row["version"]
    for name in ("vera", "victor"):
        verifier = person(lab, name, "verifier")
        version = verifier.post(f"{A}/{row['id']}/verify", json={"version": version}).json()["version"]
    verifier.post(f"{A}/{row['id']}/release", json={"version": version})
    assert doctor.get(f"{A}/{row['id']}").json()["released"]["flag"] == "critical_high"
    (released,) = doctor.get(f"/api/v1/patients/{lab.patient_id}/results").json()
    assert (released["raw_value"], released["loinc"]) == ("20.5", "718-7")
    assert doctor.post(A, json=ORDER).status_code == 201


def test_many_are_verified_and_released_with_an_outcome_each(lab: Lab, tech: TestClient) -> None:
    one, two = analysed(lab, tech), analysed(lab, tech)
    (pending,) = ordered(tech)
    verifier = person(lab, "vera", "verifier")
    seen = [
        {"assignment_id": one["id"], "version": one["version"]},
        {"assignment_id": two["id"], "version": 1},
        {"assignment_id": pending["id"], "version": pending["version"]},
        {"assignment_id": 99_999, "version": 1},
    ]
    outcomes = verifier.post(f"{A}/verify", json={"assignments": seen}).json()["outcomes"]
    assert [row["kind"] for row in outcomes] == [None, "conflict", "conflict", "not_found"]
    outcomes = verifier.post(f"{A}/release", json={"assignments": seen[:1]}).json()["outcomes"]
    assert outcomes[0]["kind"] == "conflict"


def test_held_results_are_seen_and_resolved(lab: Lab, tech: TestClient, asked_for: list[Any]) -> None:
    (one,) = lab.queued()
    lab.answer(one, lab.body(one, patientId="PAT-002"))
    (row,) = tech.get("/api/v1/held").json()["items"]
    assert [found["rule"] for found in row["violations"]] == ["patient"]
    detail = tech.get(f"/api/v1/held/{row['id']}").json()
    assert '"patientId": "PAT-002"' in detail["body"]
    path = f"/api/v1/held/{row['id']}/resolve"
    assert tech.post(path, json={"action": "discard", "reason": "mixed up"}).status_code == 403
    boss = person(lab, "boss", "supervisor")
    assert boss.post(path, json={"action": "discard"}).status_code == 422
    answer = boss.post(path, json={"action": "discard", "reason": "mixed up"})
    assert answer.json()["state"] == "discarded"
    assert asked_for[-1] == ("submit-assignments", [one])
    again = boss.post(path, json={"action": "release", "reason": "mixed up"})
    assert (again.status_code, "discarded already" in again.json()["error"]) == (409, True)
    assert tech.get("/api/v1/held/99999").status_code == 404


def test_stale_ones_are_acknowledged_once(lab: Lab, tech: TestClient) -> None:
    (row,) = ordered(tech)
    path = f"{A}/acknowledge-stale"
    assert tech.post(path, json={"assignment_ids": [row["id"]]}).json() == {"assignment_ids": [row["id"]]}
    assert tech.post(path, json={"assignment_ids": [row["id"]]}).json() == {"assignment_ids": []}
    assert tech.post(path, json={"assignment_ids": [99_999]}).status_code == 404


def test_a_scan_finds_a_sample_a_request_or_a_number(tech: TestClient) -> None:
    first, second = ordered(tech)[0], ordered(tech)[0]
    ordered(tech, sample_id="OTHER")
    for code, found in (
        ("SAMP-123", [second["id"], first["id"]]),
        (first["request_id"], [first["id"]]),
        (str(first["id"]), [first["id"]]),
        ("NOTHING", []),
    ):
        rows = tech.get(f"{A}/scan", params={"code": code}).json()["assignments"]
        assert [row["id"] for row in rows] == found
