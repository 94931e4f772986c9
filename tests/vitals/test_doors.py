"""The devices' door as documented: requests, answers and error bodies."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.vitals import doors
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from models.vitals.stores.keys import list_keys, revoke_key
from tests.vitals.conftest import Clinic, Worn

pytestmark = pytest.mark.api


def moment(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="seconds").replace("+00:00", "Z")


def reading(**values: Any) -> dict[str, Any]:
    return {"device_id": "DEV001", "timestamp": moment(minutes=1), "heart_rate": 75} | values


DOCUMENTED = {
    "blood_pressure_systolic": 120,
    "blood_pressure_diastolic": 80,
    "temperature": 98.6,
    "temperature_unit": "F",
    "respiratory_rate": 16,
    "oxygen_saturation": 98.0,
    "glucose": 95.0,
    "weight": 150.0,
    "weight_unit": "lbs",
    "notes": "Morning reading",
    "signal_quality": 95,
    "battery_level": 80,
}


@pytest.mark.parametrize("path", ["/api/iot/vitals/", "/api/iot/vitals"])
def test_the_documented_reading_is_answered_as_documented(worn: Worn, path: str) -> None:
    sent = reading(**DOCUMENTED)
    answer = worn.post(sent, path)
    assert answer.status_code == 200, answer.text
    [row] = worn.clinic.rows("SELECT * FROM vital_sign")
    assert answer.json() == {
        "success": True,
        "message": "Vital signs received successfully",
        "vital_sign_id": row.id,
        "alerts_triggered": 0,
        "timestamp": sent["timestamp"],
    }
    assert (row.patient_id, row.device_id, row.data_source) == (worn.patient_id, worn.device_id, "device")
    assert (row.heart_rate, row.blood_pressure_systolic, row.blood_pressure_diastolic) == (75, 120, 80)
    assert [str(row.temperature), str(row.temperature_given), row.temperature_unit] == ["37.00", "98.6", "F"]
    assert [str(row.weight), str(row.weight_given), row.weight_unit] == ["68.04", "150.0", "lbs"]
    assert [str(row.glucose), row.glucose_unit, str(row.oxygen_saturation)] == ["95.0", "mg/dL", "98.0"]
    assert (row.notes, row.signal_quality, row.battery_level) == ("Morning reading", 95, 80)
    [contact] = worn.clinic.rows("SELECT * FROM device_contact")
    assert (contact.battery_level, contact.signal_quality) == (80, 95)
    [activity] = worn.clinic.rows("SELECT * FROM device_activity")
    assert (activity.door, activity.status, activity.readings, activity.error) == ("vitals", 200, 1, None)


def test_a_repeated_reading_is_answered_as_the_first_time_and_stored_once(worn: Worn) -> None:
    sent = reading()
    first, again = worn.post(sent), worn.post(sent)
    assert first.json() == again.json()
    assert len(worn.clinic.rows("SELECT 1 FROM vital_sign")) == 1


def test_other_content_of_the_same_time_is_a_correction_that_names_the_first(worn: Worn) -> None:
    first = worn.post(reading(heart_rate=75, timestamp=(at := moment(minutes=3)))).json()["vital_sign_id"]
    second = worn.post(reading(heart_rate=76, timestamp=at)).json()["vital_sign_id"]
    rows = worn.clinic.rows("SELECT id, heart_rate, corrects_id FROM vital_sign ORDER BY id")
    assert [tuple(row) for row in rows] == [(first, 75, None), (second, 76, first)]


@pytest.mark.parametrize(
    ("values", "held"),
    [
        ({"heart_rate": 700}, [{"field": "heart_rate", "rule": "impossible_value"}]),
        ({"temperature": 37, "temperature_unit": "F"}, [{"field": "temperature", "rule": "impossible_value"}]),
        (
            {"blood_pressure_systolic": 80, "blood_pressure_diastolic": 80},
            [{"field": "blood_pressure_systolic", "rule": "systolic_not_over_diastolic"}],
        ),
        ({"timestamp": moment(hours=-1)}, [{"field": "timestamp", "rule": "in_the_future"}]),
        ({"timestamp": moment(days=800)}, [{"field": "timestamp", "rule": "older_than_backfill_limit"}]),
    ],
)
def test_a_held_reading_is_answered_with_its_rules_and_is_no_vital_sign(
    worn: Worn, values: dict[str, Any], held: list[dict[str, str]]
) -> None:
    answer = worn.post(reading(**values))
    assert answer.status_code == 202
    assert (answer.json()["success"], answer.json()["vital_sign_id"]) == (False, None)
    assert answer.json()["held"] == held
    assert worn.clinic.rows("SELECT 1 FROM vital_sign") == []
    [row] = worn.clinic.rows("SELECT findings, device_id FROM held_reading")
    assert (row.findings, row.device_id) == (held, worn.device_id)


def test_a_batch_stores_the_good_and_names_each_bad_one(worn: Worn) -> None:
    readings = [
        {"timestamp": moment(minutes=30), "heart_rate": 75},
        {"timestamp": moment(minutes=20)},
        {"timestamp": moment(minutes=10), "heart_rate": 900},
        {"timestamp": moment(days=500), "heart_rate": 70},
        "no reading",
        {"timestamp": moment(minutes=5), "heart_rate": 78},
    ]
    answer = worn.post({"device_id": "DEV001", "readings": readings}, "/api/iot/vitals/batch/")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    ids = [row.id for row in worn.clinic.rows("SELECT id FROM vital_sign ORDER BY recorded_at")]
    assert body == {
        "success": True,
        "message": "Batch submitted successfully",
        "total_readings": 6,
        "processed": 2,
        "failed": 4,
        "vitals_created": ids,
        "alerts_triggered": 0,
        "errors": [
            {"index": 1, "field": None, "reason": "No vital sign measurements provided"},
            {"index": 3, "field": "timestamp", "reason": "Device not assigned to patient"},
            {"index": 4, "field": None, "reason": "Invalid JSON format"},
        ],
        "held": [{"index": 2, "held": [{"field": "heart_rate", "rule": "impossible_value"}]}],
    }


def test_the_documented_batch_is_answered_as_documented(worn: Worn) -> None:
    readings = [{"timestamp": moment(minutes=m), "heart_rate": 75} for m in (90, 30)]
    answer = worn.post({"device_id": "DEV001", "readings": readings}, "/api/iot/vitals/batch")
    assert answer.status_code == 200
    assert set(answer.json()) == {
        *("success", "message", "total_readings", "processed", "failed", "vitals_created", "alerts_triggered")
    }


def test_the_status_names_the_patient_only_where_the_key_may_read_it(worn: Worn) -> None:
    at = worn.post(reading()).json()["timestamp"]
    documented = {
        "success": True,
        "device_id": "DEV001",
        "device_name": "Device DEV001",
        "device_type": "Other",
        "is_active": True,
        "patient_assigned": True,
        "api_key_valid": True,
        "last_reading": at,
    }
    for key, more in ((worn.key, {}), (worn.clinic.key(worn.device_id, can_read_patient=True), {"patient_id": "P123"})):
        for path in ("/api/iot/status/", "/api/iot/status"):
            answer = worn.clinic.door.get(path, headers={"Authorization": f"Bearer {key}"})
            assert (answer.status_code, answer.json()) == (200, documented | more)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{not json", 400, "Invalid JSON format"),
        (b"[]", 400, "Invalid JSON format"),
        ({"heart_rate": 75, "timestamp": moment()}, 400, "Missing required field: device_id"),
        ({"device_id": "DEV001", "heart_rate": 75}, 400, "Missing required field: timestamp"),
        ({"device_id": "DEV001", "timestamp": moment()}, 400, "No vital sign measurements provided"),
        ({"device_id": "DEV999", "timestamp": moment(), "heart_rate": 75}, 403, "does not match"),
    ],
)
def test_documented_refusals_and_their_activity(worn: Worn, body: Any, status: int, error: str) -> None:
    answer = worn.post(body)
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert error in answer.json()["error"]
    [row] = worn.clinic.rows("SELECT status, error FROM device_activity")
    assert (row.status, row.error) == (status, answer.json()["error"])


def test_keys_that_open_nothing(worn: Worn) -> None:
    clinic = worn.clinic
    for key in ("lw_device_unknown", "", clinic.key(worn.device_id, expires_in_days=1)):
        if key.startswith("lw_device_") and key != "lw_device_unknown":
            with tenant_session(clinic.tenant_id) as session:
                newest = list_keys(session, clinic.tenant_id, worn.device_id)[0]
                revoke_key(session, clinic.tenant_id, SYSTEM, worn.device_id, newest.id)
        answer = clinic.post(key, reading())
        assert (answer.status_code, answer.json()["success"]) == (401, False)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    read_only = clinic.key(worn.device_id, can_write_vitals=False)
    assert clinic.post(read_only, reading()).status_code == 403
    assert clinic.rows("SELECT 1 FROM vital_sign") == []


def test_a_revoked_key_is_refused_at_once_although_it_was_used_a_moment_ago(worn: Worn) -> None:
    assert worn.post(reading()).status_code == 200
    with tenant_session(worn.clinic.tenant_id) as session:
        [key] = list_keys(session, worn.clinic.tenant_id, worn.device_id)
        revoke_key(session, worn.clinic.tenant_id, SYSTEM, worn.device_id, key.id)
    answer = worn.post(reading(heart_rate=76))
    assert (answer.status_code, answer.json()["error"]) == (401, "Invalid API key")


def test_a_reading_belongs_to_the_patient_of_its_own_time(clinic: Clinic) -> None:
    from models.vitals.schemas import WearerIn
    from models.vitals.stores.devices import assign_patient

    first, second = clinic.patient("P1"), clinic.patient("P2")
    device_id = clinic.device("DEV001", first)
    key = clinic.key(device_id)
    with tenant_session(clinic.tenant_id) as session:
        since = datetime.now(UTC) - timedelta(hours=1)
        assign_patient(session, clinic.tenant_id, SYSTEM, device_id, WearerIn(patient_id=second, since=since))
    for minutes in (90, 30):
        assert clinic.post(key, reading(timestamp=moment(minutes=minutes))).status_code == 200
    rows = clinic.rows("SELECT patient_id FROM vital_sign ORDER BY recorded_at")
    assert [row.patient_id for row in rows] == [first, second]


def test_a_device_of_nobodys_is_refused(clinic: Clinic) -> None:
    device_id = clinic.device("DEV001")
    answer = clinic.post(clinic.key(device_id), reading())
    assert (answer.status_code, answer.json()["error"]) == (400, "Device not assigned to patient")


def test_the_rate_limit_answers_429_with_what_is_left(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    monkeypatch.setattr(doors, "utc_now", lambda: now)  # all in the same minute
    device_id = clinic.device("DEV001", clinic.patient(), rate_per_minute=2)
    key = clinic.key(device_id)
    answers = [clinic.post(key, reading(heart_rate=70 + n)) for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert answers[2].headers["RateLimit-Limit"] == "2"
