"""Devices by the JSON API: made, changed by one person at a time, given to patients; keys shown once; activity."""

import json

import pytest
from starlette.testclient import TestClient

from tests.api.helpers import audited, make_token, with_token
from tests.vitals.conftest import Clinic, Worn
from tests.vitals.desk import person, reading, user_of

pytestmark = pytest.mark.api
DEVICES = "/api/v1/devices"


@pytest.fixture
def keeper(clinic: Clinic) -> TestClient:
    return person(clinic, "boss", "supervisor", "administrator")


def test_a_device_is_made_changed_and_listed_with_how_it_stands(worn: Worn, keeper: TestClient) -> None:
    made = keeper.post(DEVICES, json={"device_id": "OXI-1", "name": "Oximeter", "time_zone": "Europe/Zurich"})
    assert made.status_code == 201, made.text
    assert (made.json()["version"], made.json()["key_state"]) == (1, "none")
    taken = keeper.post(DEVICES, json={"device_id": "OXI-1", "name": "Another"})
    assert taken.status_code == 409
    assert worn.post(reading(battery_level=12)).status_code == 200
    listed = {one["device_id"]: one for one in keeper.get(DEVICES).json()}
    assert (listed["DEV001"]["patient_code"], listed["DEV001"]["battery_level"]) == ("P123", 12)
    assert listed["DEV001"]["contact_at"] is not None
    assert (listed["OXI-1"]["patient_code"], listed["OXI-1"]["contact_at"]) == (None, None)
    assert keeper.get(f"{DEVICES}/{worn.device_id}").json() == listed["DEV001"]


def test_the_second_of_two_changes_is_refused(worn: Worn, keeper: TestClient) -> None:
    address, given = f"{DEVICES}/{worn.device_id}", {"device_id": "DEV001", "name": "Cuff", "version": 1}
    assert keeper.put(address, json=given).json()["version"] == 2
    assert keeper.put(address, json=given | {"name": "Mine"}).status_code == 409
    assert keeper.get(address).json()["name"] == "Cuff"
    (row,) = audited(worn.clinic.tenant_id, "device.edit")
    assert row.changes == {"name": ["Device DEV001", "Cuff"], "version": [1, 2]}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "N"}, "device_id"),
        ({"device_id": "D", "name": "N", "time_zone": "Mars/Olympus"}, "time_zone"),
        ({"device_id": "D", "name": "N", "silence_minutes": 0}, "silence_minutes"),
        ({"device_id": "D", "name": "N", "colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_with_a_device_is_named(keeper: TestClient, given: dict[str, object], field: str) -> None:
    answer = keeper.post(DEVICES, json=given)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["fields"]] == [field]


def test_it_is_given_on_and_the_history_stays(worn: Worn) -> None:
    nurse = person(worn.clinic, "nora", "nurse")
    other = worn.clinic.patient("P456")
    address = f"{DEVICES}/{worn.device_id}"
    history = nurse.post(f"{address}/assign", json={"patient_id": other}).json()
    assert [(one["patient_code"], one["assigned_until"] is None) for one in history] == [
        ("P456", True),
        ("P123", False),
    ]
    assert nurse.post(f"{address}/assign", json={"patient_id": None}).status_code == 200
    assert nurse.get(f"{address}/history").json()[0]["assigned_until"] is not None
    assert nurse.get(address).json()["patient_code"] is None
    early = nurse.post(f"{address}/assign", json={"patient_id": other, "since": "2001-01-01T00:00:00Z"})
    assert (early.status_code, early.json()["fields"][0]["field"]) == (422, "since")
    seen = {row.resource_id for row in audited(worn.clinic.tenant_id, "patient.read")}
    assert seen == {str(worn.patient_id), str(other)}


def test_a_key_is_shown_once_rotated_and_revoked(worn: Worn, keeper: TestClient) -> None:
    address = f"{DEVICES}/{worn.device_id}/keys"
    made = keeper.post(address, json={"name": "Ward", "overlap_hours": 1}).json()
    assert made["url"].endswith("/api/iot/vitals/")
    assert worn.clinic.post(made["key"], reading()).status_code == 200
    listed = keeper.get(address).json()
    assert made["key"] not in json.dumps(listed)
    assert [one["name"] for one in listed] == ["Ward", "Key"]
    assert made["key"].startswith(listed[0]["prefix"])
    assert listed[1]["expires_at"] < listed[0]["expires_at"]
    assert keeper.delete(f"{address}/{made['id']}").status_code == 204
    assert worn.clinic.post(made["key"], reading()).status_code == 401
    assert keeper.delete(f"{address}/{made['id']}").status_code == 404
    assert len(audited(worn.clinic.tenant_id, "device.revoke_key")) == 1


def test_activity_is_paged_newest_first_and_holds_no_values(worn: Worn, keeper: TestClient) -> None:
    for rate in (71, 72, 73):
        assert worn.post(reading(heart_rate=rate)).status_code == 200
    assert worn.post(b"{").status_code == 400
    address = f"{DEVICES}/{worn.device_id}/activity"
    first = keeper.get(address, params={"limit": 3}).json()
    second = keeper.get(address, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [one["status"] for one in first["items"] + second["items"]] == [400, 200, 200, 200]
    assert second["next_cursor"] is None
    newest = first["items"][0]
    assert (newest["door"], newest["error"], newest["readings"]) == ("vitals", "Invalid JSON format", 0)
    assert worn.key.startswith(newest["key_prefix"])
    assert worn.key not in json.dumps(first)
    assert keeper.get(address, params={"cursor": "rubbish!"}).status_code == 422


def test_who_may_what(worn: Worn) -> None:
    clinic, one = worn.clinic, f"{DEVICES}/{worn.device_id}"
    people = {
        role: person(clinic, role, role) for role in ("nurse", "doctor", "technician", "administrator", "verifier")
    }
    admin = people["administrator"]
    assert {name: who.get(DEVICES).status_code for name, who in people.items()} == dict.fromkeys(people, 200) | {
        "verifier": 403
    }
    assert admin.get(one).json()["patient_code"] is None, "an administrator sees no patients"
    assert admin.get(f"{one}/history").status_code == 403
    assert admin.post(f"{one}/assign", json={"patient_id": worn.patient_id}).status_code == 403
    for name in ("nurse", "doctor", "technician"):
        assert people[name].post(DEVICES, json={"device_id": "X", "name": "X"}).status_code == 403
        assert people[name].post(f"{one}/keys", json={}).status_code == 403
    token = with_token(make_token(clinic.tenant_id, user_of(admin), "vitals:read", "vitals:write"))
    assert token.get(DEVICES).status_code == 200
    assert token.post(f"{one}/keys", json={}).status_code == 403, "keys are made by persons alone"
