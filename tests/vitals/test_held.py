"""Held readings: seen, released by the rules' waiver alone, discarded, and decided once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from models.kernel.audit import SYSTEM
from models.kernel.errors import ConflictError
from models.kernel.tenancy import tenant_session
from models.vitals.entries import HeldDecision
from models.vitals.stores.held import release_held
from tests.api.helpers import audited
from tests.vitals.conftest import Clinic, Worn
from tests.vitals.desk import moment, person, reading

pytestmark = pytest.mark.api
HELD = "/api/v1/vitals/held"
WHY = {"reason": "seen at the bedside"}


@pytest.fixture
def nurse(clinic: Clinic) -> TestClient:
    return person(clinic, "nora", "nurse")


def hold(worn: Worn, **changed: Any) -> int:
    answer = worn.post(reading(heart_rate=5, temperature=98.6, **changed))
    assert answer.status_code == 202, answer.text
    return int(worn.clinic.rows("SELECT max(id) FROM held_reading")[0][0])


def test_the_list_names_rules_and_no_values_and_one_shows_what_came(worn: Worn, nurse: TestClient) -> None:
    held_id = hold(worn, notes="odd")
    page = nurse.get(HELD)
    assert page.json()["total"] == 1
    (one,) = page.json()["items"]
    assert one["held"] == [{"field": "heart_rate", "rule": "impossible_value"}]
    assert (one["device_id"], one["patient_id"], one["settlement"]) == ("DEV001", worn.patient_id, None)
    assert "98.6" not in page.text
    assert audited(worn.clinic.tenant_id, "patient.read") == []
    detail = nurse.get(f"{HELD}/{held_id}").json()
    assert detail["received"]["notes"] == "odd"
    assert len(audited(worn.clinic.tenant_id, "patient.read")) == 1


def test_a_released_reading_is_a_vital_sign_of_its_own_time(worn: Worn, nurse: TestClient) -> None:
    held_id = hold(worn, timestamp=moment(hours=2))
    answer = nurse.post(f"{HELD}/{held_id}/release", json=WHY)
    assert answer.status_code == 200, answer.text
    (row,) = worn.clinic.rows("SELECT id, heart_rate, temperature, patient_id, data_source FROM vital_sign")
    assert (row.id, row.heart_rate, str(row.temperature)) == (answer.json()["vital_sign_id"], 5, "37.00")
    assert (row.patient_id, row.data_source) == (worn.patient_id, "device")
    (noted,) = audited(worn.clinic.tenant_id, "held_reading.release")
    assert noted.changes["waived"] == ["impossible_value"]
    assert noted.changes["reason"] == WHY["reason"]
    assert nurse.get(HELD).json()["total"] == 0
    (decided,) = nurse.get(HELD, params={"open": False}).json()["items"]
    assert decided["settlement"] == "released"
    assert nurse.post(f"{HELD}/{held_id}/discard", json=WHY).status_code == 409


def test_a_reading_released_hours_later_alarms_nobody(worn: Worn, nurse: TestClient) -> None:
    held_id = hold(worn, oxygen_saturation=70)
    worn.clinic.rows(
        "UPDATE held_reading SET recorded_at = recorded_at - interval '5 hours', "
        "received_at = received_at - interval '5 hours' RETURNING id"
    )
    assert nurse.post(f"{HELD}/{held_id}/release", json=WHY).status_code == 200
    assert worn.clinic.rows("SELECT FROM alert") == []


def test_a_reading_of_a_batch_is_released_like_one_that_came_alone(worn: Worn, nurse: TestClient) -> None:
    readings = [{"timestamp": moment(hours=2), "heart_rate": 5, "temperature": 98.6, "weight": 150.5}]
    assert worn.post({"device_id": "DEV001", "readings": readings}, "/api/iot/vitals/batch/").status_code == 202
    (held_id,) = worn.clinic.rows("SELECT id FROM held_reading")[0]
    assert nurse.post(f"{HELD}/{held_id}/release", json=WHY).status_code == 200
    (row,) = worn.clinic.rows("SELECT temperature_given, weight_given FROM vital_sign")
    assert (str(row.temperature_given), str(row.weight_given)) == ("98.6", "150.5")


def test_only_the_rules_that_held_it_are_waived(worn: Worn, nurse: TestClient) -> None:
    held_id = hold(worn, blood_pressure_systolic=90, blood_pressure_diastolic=120)
    worn.clinic.rows(
        'UPDATE held_reading SET findings = \'[{"field": "heart_rate", "rule": "impossible_value"}]\' RETURNING id'
    )
    assert nurse.post(f"{HELD}/{held_id}/release", json=WHY).status_code == 409
    assert worn.clinic.rows("SELECT FROM vital_sign") == []


def test_a_reading_that_was_nobodys_is_not_released(clinic: Clinic, nurse: TestClient) -> None:
    device_id = clinic.device("DEV001")
    assert clinic.post(clinic.key(device_id), reading(heart_rate=5)).status_code == 202
    (held_id,) = clinic.rows("SELECT id FROM held_reading")[0]
    assert nurse.post(f"{HELD}/{held_id}/release", json=WHY).status_code == 409
    discarded = nurse.post(f"{HELD}/{held_id}/discard", json=WHY).json()
    assert (discarded["settlement"], discarded["patient_id"]) == ("discarded", None)
    assert len(audited(clinic.tenant_id, "held_reading.discard")) == 1


def test_two_people_release_it_once(worn: Worn) -> None:
    held_id = hold(worn)

    def release(_: int) -> bool:
        try:
            with tenant_session(worn.clinic.tenant_id) as session:
                release_held(session, worn.clinic.tenant_id, SYSTEM, held_id, HeldDecision(**WHY))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(release, range(4))) == [False, False, False, True]
    assert len(worn.clinic.rows("SELECT FROM vital_sign")) == 1


def test_a_decision_needs_a_reason_and_the_right(worn: Worn, nurse: TestClient) -> None:
    held_id = hold(worn)
    assert nurse.post(f"{HELD}/{held_id}/release", json={"reason": " "}).status_code == 422
    technician = person(worn.clinic, "tina", "technician")
    assert technician.get(HELD).status_code == 200
    for deed in ("release", "discard"):
        assert technician.post(f"{HELD}/{held_id}/{deed}", json=WHY).status_code == 403
