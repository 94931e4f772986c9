"""Readings by the JSON API: filtered lists, manual entries by the door's rules, and who looked."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from models.kernel.clock import utc_now
from tests.api.helpers import audited
from tests.vitals.conftest import Clinic, Worn
from tests.vitals.desk import moment, person, reading, user_of

pytestmark = pytest.mark.api
VITALS = "/api/v1/vitals"


@pytest.fixture
def nurse(clinic: Clinic) -> TestClient:
    return person(clinic, "nora", "nurse")


def entry(worn: Worn, **changed: Any) -> dict[str, Any]:
    return {"patient_id": worn.patient_id, "timestamp": moment(minutes=1), "heart_rate": 80} | changed


def rates(answer: Any) -> list[str]:
    return [one["values"]["heart_rate"]["value"] for one in answer.json()["items"]]


def test_readings_are_found_by_patient_device_source_and_time(worn: Worn, nurse: TestClient) -> None:
    clinic = worn.clinic
    other = clinic.patient("P456")
    second = clinic.key(clinic.device("DEV002", other))
    assert worn.post(reading(heart_rate=61, timestamp=moment(hours=3))).status_code == 200
    assert worn.post(reading(heart_rate=62, timestamp=moment(hours=1))).status_code == 200
    assert clinic.post(second, reading(device_id="DEV002", heart_rate=63)).status_code == 200
    assert nurse.post(VITALS, json=entry(worn, heart_rate=64)).status_code == 201
    assert rates(nurse.get(VITALS)) == ["64", "63", "62", "61"]
    for filters, wanted in (
        ({"patient_id": worn.patient_id}, ["64", "62", "61"]),
        ({"device_id": "DEV002"}, ["63"]),
        ({"device_id": "DEV999"}, []),
        ({"data_source": "manual"}, ["64"]),
        ({"patient_id": worn.patient_id, "data_source": "device"}, ["62", "61"]),
        ({"patient_id": worn.patient_id, "from": moment(hours=2)}, ["64", "62"]),
        ({"patient_id": worn.patient_id, "from": moment(hours=2), "to": moment(minutes=30)}, ["62"]),
    ):
        assert rates(nurse.get(VITALS, params=filters)) == wanted, filters
    assert nurse.get(VITALS, params={"data_source": "guessed"}).status_code == 422


def test_pages_follow_one_another_without_loss_though_new_readings_come(worn: Worn, nurse: TestClient) -> None:
    for minute in range(7):
        assert worn.post(reading(heart_rate=60 + minute, timestamp=moment(minutes=20 - minute))).status_code == 200
    for filters in ({"patient_id": worn.patient_id}, {}):
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            answer = nurse.get(VITALS, params={**filters, "limit": 3, "cursor": cursor})
            seen += rates(answer)
            cursor = answer.json()["next_cursor"]
            assert worn.post(reading(heart_rate=99, timestamp=moment(seconds=len(seen)))).status_code == 200
        assert [rate for rate in seen if rate != "99"] == ["66", "65", "64", "63", "62", "61", "60"]


def test_corrections_of_one_moment_are_told_apart_by_the_cursor(worn: Worn, nurse: TestClient) -> None:
    at = moment(minutes=5)
    for rate in (61, 62, 63):
        assert worn.post(reading(heart_rate=rate, timestamp=at)).status_code == 200
    filters = {"patient_id": worn.patient_id, "limit": 2}
    first = nurse.get(VITALS, params=filters)
    second = nurse.get(VITALS, params={**filters, "cursor": first.json()["next_cursor"]})
    assert rates(first) + rates(second) == ["63", "62", "61"]
    assert [one["corrects_id"] is None for one in first.json()["items"] + second.json()["items"]] == [
        False,
        False,
        True,
    ]


def test_a_reading_shows_both_units_and_who_looked_is_noted(worn: Worn, nurse: TestClient) -> None:
    assert worn.post(reading(temperature=98.6, temperature_unit="F")).status_code == 200
    (item,) = nurse.get(VITALS, params={"patient_id": worn.patient_id}).json()["items"]
    assert item["values"]["temperature"] == {"value": "37.00", "unit": "Cel", "given": "98.6", "given_unit": "F"}
    assert (item["data_source"], item["device_id"], item["recorded_by"]) == ("device", "DEV001", None)
    (noted,) = audited(worn.clinic.tenant_id, "patient.read")
    assert (noted.resource_id, noted.actor_id) == (str(worn.patient_id), str(user_of(nurse)))
    nurse.get(VITALS)
    assert len(audited(worn.clinic.tenant_id, "patient.read")) == 2


@pytest.mark.parametrize(
    ("roles", "column"),
    [(("nurse",), "recorded_by_nurse"), (("doctor",), "recorded_by"), (("technician",), "recorded_by")],
)
def test_an_entry_names_who_made_it(worn: Worn, roles: tuple[str, ...], column: str) -> None:
    somebody = person(worn.clinic, "sam", *roles)
    given = entry(
        worn, temperature="37.2", temperature_unit="C", consciousness="alert", supplemental_oxygen=False, notes="calm"
    )
    made = somebody.post(VITALS, json=given)
    assert made.status_code == 201, made.text
    (item,) = somebody.get(VITALS, params={"patient_id": worn.patient_id}).json()["items"]
    assert item["id"] == made.json()["vital_sign_id"]
    assert {"recorded_by": item["recorded_by"], "recorded_by_nurse": item["recorded_by_nurse"]} == {
        "recorded_by": None, "recorded_by_nurse": None,
    } | {column: user_of(somebody)}  # fmt: skip
    assert (item["consciousness"], item["supplemental_oxygen"], item["notes"]) == ("alert", False, "calm")
    assert item["values"]["temperature"]["value"] == "37.2"
    (row,) = audited(worn.clinic.tenant_id, "vital_sign.enter")
    assert "37.2" not in str(row.changes)


def test_a_live_entry_raises_an_alert_and_a_late_one_none(worn: Worn, nurse: TestClient) -> None:
    late = nurse.post(VITALS, json=entry(worn, oxygen_saturation=80, timestamp=moment(hours=3))).json()
    live = nurse.post(VITALS, json=entry(worn, oxygen_saturation=80)).json()
    assert (late["alerts_triggered"], live["alerts_triggered"]) == (0, 1)
    assert len(worn.clinic.rows("SELECT FROM alert")) == 1


def test_the_same_entry_twice_is_one(worn: Worn, nurse: TestClient) -> None:
    given = entry(worn)
    first, again = (nurse.post(VITALS, json=given) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = person(worn.clinic, "ned", "nurse")
    assert other.post(VITALS, json=given).status_code == 201, "another person's entry is another entry"
    assert len(worn.clinic.rows("SELECT FROM vital_sign")) == 2


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"heart_rate": 4}, "heart_rate"),
        ({"heart_rate": None}, ""),
        ({"heart_rate": 71.5}, "heart_rate"),
        ({"temperature": 98.6, "temperature_unit": "C"}, "temperature"),
        ({"weight": "NaN"}, "weight"),
        ({"glucose": 5, "glucose_unit": "g"}, "glucose_unit"),
        ({"blood_pressure_systolic": 80, "blood_pressure_diastolic": 120}, "blood_pressure_systolic"),
        ({"timestamp": "yesterday, about"}, "timestamp"),
        ({"timestamp": "2099-01-01T00:00:00Z"}, "timestamp"),
        ({"timestamp": "1999-01-01T00:00:00Z"}, "timestamp"),
        ({"consciousness": "sleepy"}, "consciousness"),
        ({"pulse": 80}, "pulse"),
    ],
)
def test_a_rule_refuses_an_entry_at_once_and_names_the_field(
    worn: Worn, nurse: TestClient, changed: dict[str, Any], field: str
) -> None:
    answer = nurse.post(VITALS, json=entry(worn, **changed))
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json().get("fields", [])] == ([field] if field else [])
    assert worn.clinic.rows("SELECT FROM vital_sign") == []
    assert worn.clinic.rows("SELECT FROM held_reading") == []


def test_an_entry_without_an_offset_is_in_the_laboratorys_time(worn: Worn, nurse: TestClient) -> None:
    day = (utc_now() - timedelta(days=30)).date()
    made = nurse.post(VITALS, json=entry(worn, timestamp=f"{day}T08:30")).json()
    assert made["timestamp"] == f"{day}T07:30:00Z", "Lagos is an hour ahead of UTC"


def test_readings_of_a_merged_record_are_found_under_both(worn: Worn, nurse: TestClient) -> None:
    assert worn.post(reading()).status_code == 200
    kept = worn.clinic.patient("P999")
    boss = person(worn.clinic, "boss", "supervisor")
    merge = {"merged_id": worn.patient_id, "version": 1, "merged_version": 1}
    assert boss.post(f"/api/v1/patients/{kept}/merge", json=merge).status_code == 200
    for patient_id in (kept, worn.patient_id):
        (item,) = nurse.get(VITALS, params={"patient_id": patient_id}).json()["items"]
        assert item["patient_code"] == "P999"
    assert nurse.post(VITALS, json=entry(worn)).status_code == 409


@pytest.mark.parametrize("role", ["verifier", "administrator", "radiology_technician"])
def test_others_neither_read_nor_enter(worn: Worn, role: str) -> None:
    somebody = person(worn.clinic, "sam", role)
    assert somebody.get(VITALS).status_code == 403
    assert somebody.post(VITALS, json=entry(worn)).status_code == 403
    assert somebody.get(f"{VITALS}/held").status_code == 403
