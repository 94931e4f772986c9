"""What the devices' door promises beyond its documented answers: commits, limits, clocks, and what is written down."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.vitals import doors, keys
from api.vitals.keys import UNKNOWN_KEYS
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import owner_session, tenant_session
from models.vitals.schemas import WearerIn
from models.vitals.stores.devices import assign_patient
from tests.api.helpers import client
from tests.vitals.conftest import Clinic, Worn
from tests.vitals.test_doors import moment, reading

pytestmark = pytest.mark.api
BATCH = "/api/iot/vitals/batch/"


@pytest.fixture
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is counted is counted in the same minute, however long it takes."""
    now = datetime.now(UTC)
    monkeypatch.setattr(doors, "utc_now", lambda: now)


def activity(clinic: Clinic) -> list[tuple[Any, ...]]:
    rows = clinic.rows("SELECT door, status, readings, error FROM device_activity ORDER BY id")
    return [tuple(row) for row in rows]


def test_what_the_commit_refuses_was_not_stored_and_not_answered_as_stored(worn: Worn) -> None:
    with owner_session() as session:
        session.execute(
            text("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.heart_rate = 66 THEN RAISE 'not at the end either'; END IF; RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON vital_sign DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse()
            """)
        )
    worn.clinic.door = client(raise_server_exceptions=False)
    assert worn.post(reading(heart_rate=65)).status_code == 200
    answer = worn.post(reading(heart_rate=66))
    assert (answer.status_code, answer.json()["success"]) == (500, False)
    assert "vital_sign_id" not in answer.json()
    assert [row.heart_rate for row in worn.clinic.rows("SELECT heart_rate FROM vital_sign")] == [65]
    assert len(activity(worn.clinic)) == 1


def test_what_was_asked_is_written_down_with_its_answer(worn: Worn) -> None:
    clinic = worn.clinic
    loose = clinic.key(clinic.device("LOOSE"))
    mute = clinic.key(worn.device_id, can_write_vitals=False)
    bearer = {"Authorization": f"Bearer {worn.key}"}
    good, impossible = {"timestamp": moment(minutes=2), "heart_rate": 70}, {"timestamp": moment(), "heart_rate": 2}
    wanted: list[tuple[Any, ...]] = []

    def expect(answer: Any, *row: Any) -> None:
        assert answer.status_code == row[1], answer.text
        wanted.append(row)
        assert activity(clinic) == wanted

    expect(worn.post(reading()), "vitals", 200, 1, None)
    expect(worn.post(reading(heart_rate=2)), "vitals", 202, 1, None)
    expect(worn.post(b"{"), "vitals", 400, 0, "Invalid JSON format")
    expect(worn.post({"device_id": "DEV001", "readings": [good, impossible]}, BATCH), "batch", 200, 2, None)
    expect(worn.post({"device_id": "DEV001", "readings": [{}]}, BATCH), "batch", 400, 0, "No acceptable reading")
    other = "device_id does not match the authenticated device"
    expect(worn.post(reading(device_id="DEV002")), "vitals", 403, 0, other)
    expect(clinic.post(mute, reading()), "vitals", 403, 1, "API key lacks permission")
    unassigned = reading(device_id="LOOSE")
    expect(clinic.post(loose, unassigned), "vitals", 400, 1, "Device not assigned to patient")
    expect(clinic.door.get("/api/iot/status/", headers=bearer), "status", 200, 0, None)
    clinic.rows("UPDATE device SET is_active = false RETURNING id")
    expect(worn.post(reading(heart_rate=71)), "vitals", 401, 1, "API key not active")
    clinic.rows("UPDATE device_key SET expires_at = now() WHERE device_id = :d RETURNING id", d=worn.device_id)
    expect(worn.post(reading(heart_rate=72)), "vitals", 401, 1, "Invalid API key")
    by_whom = clinic.rows(
        "SELECT DISTINCT d.code, a.ip_address, k.device_id = d.id FROM device_activity a "
        "JOIN device d ON d.id = a.device_id JOIN device_key k ON k.id = a.key_id ORDER BY 1"
    )
    assert [tuple(row) for row in by_whom] == [("DEV001", "testclient", True), ("LOOSE", "testclient", True)]


def test_a_key_nobody_has_is_counted_and_logged_without_itself(
    worn: Worn, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "UNKNOWN_SECONDS", 3600)
    before = UNKNOWN_KEYS._value.get()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert worn.clinic.post("lw_device_never-made", reading()).status_code == 401
    assert UNKNOWN_KEYS._value.get() == before + 2
    [record] = [record for record in caplog.records if "unknown device key" in record.getMessage()]
    assert "testclient" in record.getMessage()
    assert "never-made" not in caplog.text
    assert activity(worn.clinic) == [], "whose it is, nobody knows"


def test_a_timestamp_without_offset_is_in_the_devices_zone_and_without_one_refused(clinic: Clinic) -> None:
    patient_id = clinic.patient()
    there = clinic.key(clinic.device("NAIROBI", patient_id, time_zone="Africa/Nairobi"))
    nowhere = clinic.key(clinic.device("NOWHERE", patient_id))
    local = (datetime.now(UTC) + timedelta(hours=3, minutes=-5)).replace(tzinfo=None, microsecond=0)
    sent = reading(device_id="NAIROBI", timestamp=local.isoformat())
    answer = clinic.post(there, sent)
    assert answer.status_code == 200, answer.text
    [row] = clinic.rows("SELECT recorded_at FROM vital_sign")
    assert row.recorded_at == local.replace(tzinfo=UTC) - timedelta(hours=3)
    bad = {name: value for name, value in sent.items() if name != "device_id"}
    both = clinic.post(there, {"device_id": "NAIROBI", "readings": [bad | {"heart_rate": 80}]}, BATCH)
    assert both.json()["processed"] == 1
    refused = clinic.post(nowhere, sent | {"device_id": "NOWHERE"})
    assert (refused.status_code, "needs an offset" in refused.json()["error"]) == (400, True)
    named = clinic.post(nowhere, {"device_id": "NOWHERE", "readings": [bad]}, BATCH)
    assert (named.status_code, [one["field"] for one in named.json()["errors"]]) == (400, ["timestamp"])


def test_from_when_a_device_is_taken_off_its_readings_are_nobodys(worn: Worn) -> None:
    with tenant_session(worn.clinic.tenant_id) as session:
        since = datetime.now(UTC) - timedelta(hours=1)
        assign_patient(session, worn.clinic.tenant_id, SYSTEM, worn.device_id, WearerIn(patient_id=None, since=since))
    assert worn.post(reading(timestamp=moment(minutes=61))).status_code == 200
    answer = worn.post(reading(timestamp=moment(minutes=59)))
    assert (answer.status_code, answer.json()["error"]) == (400, "Device not assigned to patient")
    assert len(worn.clinic.rows("SELECT 1 FROM vital_sign")) == 1


def test_a_reading_of_a_batch_that_names_another_device_is_not_taken(worn: Worn) -> None:
    worn.clinic.device("DEV002", worn.patient_id)
    readings = [reading(), reading(device_id="DEV002", timestamp=moment(minutes=2)), reading(device_id=None)]
    answer = worn.post({"device_id": "DEV001", "readings": readings}, BATCH).json()
    assert [(one["index"], one["field"]) for one in answer["errors"]] == [(1, "device_id"), (2, "device_id")]
    assert [row.device_id for row in worn.clinic.rows("SELECT device_id FROM vital_sign")] == [worn.device_id]


def test_a_batch_has_at_most_a_thousand_readings(worn: Worn) -> None:
    start = datetime.now(UTC) - timedelta(days=1)
    many = [{"timestamp": (start + timedelta(seconds=n)).isoformat(), "heart_rate": 70} for n in range(1001)]
    refused = worn.post({"device_id": "DEV001", "readings": many}, BATCH)
    assert (refused.status_code, refused.json()["error"]) == (400, "readings must be at most 1000")
    assert worn.post({"device_id": "DEV001", "readings": many[1:]}, BATCH).json()["processed"] == 1000


@pytest.mark.usefixtures("one_minute")
def test_a_device_may_send_no_more_after_a_restart_than_before(clinic: Clinic) -> None:
    key = clinic.key(clinic.device("DEV001", clinic.patient(), rate_per_minute=2))
    assert [clinic.post(key, reading(heart_rate=70 + n)).status_code for n in range(3)] == [200, 200, 429]
    [refused] = clinic.rows("SELECT status, error, readings FROM device_activity WHERE status = 429")
    assert (refused.error, refused.readings) == ("Too many readings", 0)
    doors.LIMITS.forget()
    assert [clinic.post(key, reading(heart_rate=80 + n)).status_code for n in range(3)] == [200, 429, 429]


@pytest.mark.usefixtures("one_minute")
def test_a_laboratory_has_a_limit_for_all_its_devices(clinic: Clinic) -> None:
    clinic.rows(
        "INSERT INTO vitals_policy (tenant_id, tenant_rate_per_minute) VALUES (:t, 3) RETURNING 1", t=clinic.tenant_id
    )
    both = [clinic.key(clinic.device(code, clinic.patient(f"P-{code}"))) for code in ("DEV001", "DEV002")]
    readings = [{"timestamp": moment(seconds=n), "heart_rate": 70} for n in (3, 2)]
    assert clinic.post(both[0], reading()).status_code == 200
    assert clinic.post(both[1], {"device_id": "DEV002", "readings": readings}, BATCH).status_code == 200
    for key, code in zip(both, ("DEV001", "DEV002"), strict=True):
        for path, body in (("/api/iot/vitals", reading()), (BATCH, {"readings": readings})):
            answer = clinic.post(key, body | {"device_id": code}, path)
            assert (answer.status_code, answer.json()) == (429, {"success": False, "error": "Too many readings"})
            assert (answer.headers["RateLimit-Limit"], answer.headers["RateLimit-Remaining"]) == ("3", "0")
            assert answer.headers["Retry-After"] == answer.headers["RateLimit-Reset"]


def test_asking_for_the_status_is_a_sign_of_life_and_no_reading(worn: Worn) -> None:
    assert worn.post(reading(battery_level=61, signal_quality=90, timestamp=moment(minutes=9))).status_code == 200
    assert worn.post(reading(timestamp=moment(minutes=5))).status_code == 200
    [before] = worn.clinic.rows("SELECT * FROM device_contact")
    assert (before.battery_level, before.signal_quality) == (61, 90), "what is not said stays as it was"
    answer = worn.clinic.door.get("/api/iot/status", headers={"Authorization": f"Bearer {worn.key}"})
    assert answer.status_code == 200
    [after] = worn.clinic.rows("SELECT * FROM device_contact")
    assert after.contact_at > before.contact_at
    assert (after.reading_at, after.battery_level) == (before.reading_at, 61)


def test_fields_nobody_knows_are_kept_in_the_raw(worn: Worn) -> None:
    strange = {"firmware": "2.1", "curve": [1, 2.50, {"x": None}]}
    assert worn.post(reading(**strange)).status_code == 200
    one = {"timestamp": moment(minutes=5), "heart_rate": 71, **strange}
    assert worn.post({"device_id": "DEV001", "readings": [one]}, BATCH).status_code == 200
    for row in worn.clinic.rows("SELECT CAST(raw AS json) AS raw FROM vital_sign"):
        assert row.raw["firmware"] == "2.1"
        assert [float(row.raw["curve"][1]), row.raw["curve"][2]] == [2.5, {"x": None}]


def test_a_batch_of_nothing_good_says_so_and_one_of_held_readings_waits(worn: Worn) -> None:
    bad = [{"timestamp": "yesterday", "heart_rate": 70}, 7, {"timestamp": moment(), "heart_rate": "70"}]
    refused = worn.post({"device_id": "DEV001", "readings": bad}, BATCH)
    assert refused.status_code == 400
    assert refused.json() | {"errors": None} == {
        "success": False,
        "error": "No acceptable reading",
        "errors": None,
        "total_readings": 3,
        "processed": 0,
        "failed": 3,
    }
    assert [(one["index"], one["field"]) for one in refused.json()["errors"]] == [
        (0, "timestamp"),
        (1, None),
        (2, "heart_rate"),
    ]
    waits = worn.post({"device_id": "DEV001", "readings": [{"timestamp": moment(), "heart_rate": 5}, 7]}, BATCH)
    assert (waits.status_code, waits.json()["success"], waits.json()["failed"]) == (202, False, 2)
    assert waits.json()["held"] == [{"index": 0, "held": [{"field": "heart_rate", "rule": "impossible_value"}]}]
    assert [one["index"] for one in waits.json()["errors"]] == [1]
