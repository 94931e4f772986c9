"""The API and the pages about alerts: who may do what, the patient's link, acknowledging, and what a tenant sets."""

import logging
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import without_secrets
from models.kernel.clock import utc_now
from tests.alerts.conftest import Clinic
from tests.api.helpers import BASE, PAGE, audited, client, make_user, signed_in
from tests.factories import make_tenant

pytestmark = pytest.mark.api


@pytest.fixture
def today(clinic: Clinic) -> Clinic:
    """The same clinic by the present clock, with one critical alert that the patient was asked about."""
    clinic.now = utc_now()
    clinic.reads(heart_rate=153)
    return clinic


@pytest.fixture
def doctor(today: Clinic) -> TestClient:
    make_user(today.tenant_id, "dr@clinic.example", "doctor")
    return signed_in("dr@clinic.example")


def post_answer(browser: TestClient, token: str, answer: str) -> Any:
    page = browser.get(f"/alerts/question/{token}", headers=PAGE)
    proof = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert proof is not None, page.text
    form = {"answer": answer, "csrf_token": proof[1]}
    return browser.post(f"/alerts/question/{token}", data=form, headers=PAGE | {"Origin": BASE})


def test_the_patient_answers_once_without_signing_in(today: Clinic) -> None:
    token, browser = today.token(), client()
    page = browser.get(f"/alerts/question/{token}", headers=PAGE)
    assert page.status_code == 200
    assert "153" not in page.text
    assert "Doe" not in page.text
    assert today.told() == []  # looking answers nothing
    missing = post_answer(browser, token, "perhaps")
    assert (missing.status_code, "Choose one" in missing.text) == (422, True)
    answered = post_answer(browser, token, "help")
    assert (answered.status_code, "Help is being called" in answered.text) == (200, True)
    assert today.told() == ["doctor", "nurse", "emergency"]
    for again in (browser.get(f"/alerts/question/{token}"), browser.get("/alerts/question/lw_alert_unknown")):
        assert (again.status_code, "over" in again.text) == (404, True)
    [row] = audited(today.tenant_id, "alert.answered")
    assert (row.actor_label, row.ip_address) == ("the patient, by link", "testclient")


def test_a_form_from_elsewhere_answers_nothing(today: Clinic) -> None:
    browser = client()
    browser.get(f"/alerts/question/{today.token()}", headers=PAGE)
    answer = browser.post(f"/alerts/question/{today.token()}", data={"answer": "no"}, headers={"Origin": BASE})
    assert answer.status_code == 403
    assert today.rows("SELECT 1 FROM alert_question WHERE answer IS NOT NULL") == []


def test_a_doctor_acknowledges_with_a_read_back_and_closes(today: Clinic, doctor: TestClient) -> None:
    [listed] = doctor.get("/api/v1/alerts").json()["items"]
    assert (listed["kind"], listed["level"], listed["value"], listed["told_at"]) == (
        *("heart_rate_high", "critical", "153", None),
    )
    address = f"/api/v1/alerts/{listed['id']}"
    assert doctor.post(f"{address}/acknowledge", json={"version": 1, "read_back": " "}).status_code == 422
    assert doctor.post(f"{address}/acknowledge", json={"version": 9, "read_back": "yes"}).status_code == 409
    taken = doctor.post(f"{address}/acknowledge", json={"version": 1, "read_back": "heart rate; I call her"})
    assert (taken.status_code, taken.json()["read_back"]) == (200, "heart rate; I call her")
    assert doctor.post(f"{address}/acknowledge", json={"version": 2, "read_back": "me too"}).status_code == 409
    assert doctor.post(f"{address}/close", json={"version": 2, "reason": "atrial flutter, admitted"}).status_code == 200
    story = doctor.get(address).json()
    assert [one["name"] for one in story["events"]] == ["opened", "asked", "acknowledged", "closed"]
    assert (story["ending"], doctor.get("/api/v1/alerts").json()["total"]) == ("closed", 0)
    assert doctor.post(f"{address}/close", json={"version": 3, "reason": "again"}).status_code == 409
    [row] = audited(today.tenant_id, "alert.acknowledged")
    assert (row.actor_label, row.changes["read_back"]) == ("dr@clinic.example", "heart rate; I call her")
    assert len(audited(today.tenant_id, "patient.read")) == 2


def test_who_may_not(today: Clinic, doctor: TestClient) -> None:
    make_user(today.tenant_id, "tech@clinic.example", "technician")
    make_user(today.tenant_id, "admin@clinic.example", "administrator")
    technician, administrator = signed_in("tech@clinic.example"), signed_in("admin@clinic.example")
    body = {"version": 1, "read_back": "x"}
    assert technician.get("/api/v1/alerts").status_code == 200
    assert technician.post("/api/v1/alerts/1/acknowledge", json=body).status_code == 403
    assert administrator.get("/api/v1/alerts").status_code == 403
    assert client().get("/api/v1/alerts").status_code == 401
    other = make_tenant("other")
    make_user(other, "other@clinic.example", "doctor")
    stranger = signed_in("other@clinic.example")
    assert stranger.get("/api/v1/alerts").json()["items"] == []
    assert stranger.post("/api/v1/alerts/1/acknowledge", json=body).status_code == 404
    assert len(audited(other, "access.refused")) == 1


def test_a_tenant_sets_its_ladder_contacts_and_limits(today: Clinic, doctor: TestClient) -> None:
    make_user(today.tenant_id, "boss@clinic.example", "supervisor")
    boss = signed_in("boss@clinic.example")
    usual = boss.get("/api/v1/alerts/policy").json()
    assert (usual["version"], usual["question_minutes"], len(usual["ladder"])) == (0, 5, 2)
    own = usual | {"ladder": [{"after_minutes": 0, "roles": ["nurse"]}], "critical_skips_question": True}
    assert boss.put("/api/v1/alerts/policy", json=own).json() == own | {"version": 1}
    assert boss.put("/api/v1/alerts/policy", json=own).status_code == 409
    late = own | {"version": 1, "ladder": [{"after_minutes": 5, "roles": ["nurse"]}]}
    assert boss.put("/api/v1/alerts/policy", json=late).status_code == 422
    given = {"role": "nurse", "name": "Night desk", "address": "night@clinic.example"}
    added = boss.post("/api/v1/alerts/contacts", json=given)
    assert (added.status_code, boss.post("/api/v1/alerts/contacts", json=given).status_code) == (201, 409)
    assert len(boss.get("/api/v1/alerts/contacts").json()) == 4
    today.reads("P2", heart_rate=150)
    assert today.told() == ["nurse", "night"]
    assert boss.delete(f"/api/v1/alerts/contacts/{added.json()['id']}").status_code == 204
    limit = {"kind": "heart_rate_high", "patient_id": today.patient("P1"), "critical": "170"}
    assert doctor.put("/api/v1/alerts/thresholds", json=limit).json()["critical"] == "170"
    assert doctor.put("/api/v1/alerts/thresholds", json=limit | {"critical": "90"}).status_code == 422
    shown = doctor.get("/api/v1/alerts/thresholds", params={"patient_id": today.patient("P1")}).json()
    assert [one["critical"] for one in shown if one["is_own"]] == ["170"]
    assert all(one["source"] for one in shown)


def test_the_board_and_one_alert(today: Clinic, doctor: TestClient) -> None:
    board = doctor.get("/alerts", headers=PAGE)
    assert board.status_code == 200
    for said in ("Heart rate high", "153 per minute", "Critical", "nobody yet", "Doe, Jo"):
        assert said in board.text
    assert "Acknowledge" in doctor.get("/alerts/1", headers=PAGE).text
    refused = doctor.post("/alerts/1/acknowledge", data={"version": "1"}, headers=PAGE)
    assert refused.status_code == 422
    taken = doctor.post("/alerts/1/acknowledge", data={"version": "1", "read_back": "I go"}, headers=PAGE)
    assert (taken.status_code, taken.headers["Location"]) == (303, "/alerts/1")
    page = doctor.get("/alerts/1", headers=PAGE).text
    assert "“I go”" in page
    stale = doctor.post("/alerts/1/close", data={"version": "1", "reason": "done"}, headers=PAGE)
    assert (stale.status_code, "changed by somebody else" in stale.text) == (409, True)
    assert doctor.post("/alerts/1/close", data={"version": "2", "reason": "done"}, headers=PAGE).status_code == 303
    assert "Closed by a person" in doctor.get("/alerts?which=over", headers=PAGE).text
    assert "No alert is open" in doctor.get("/alerts", headers=PAGE).text


def test_links_stay_out_of_the_access_log() -> None:
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, "%s", ("/alerts/question/lw_alert_SECRET",), None)
    assert without_secrets(record)
    assert "SECRET" not in record.getMessage()
