"""The pages about devices and vital signs: usable, for the right people, keys shown once, names that are only text."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from tests.api.helpers import audited
from tests.instruments.desk import Desk
from tests.vitals.conftest import Clinic, Worn
from tests.vitals.desk import at_pages, moment, person, reading

pytestmark = pytest.mark.api
EVIL = "<script>alert('x')</script>"
BEDSIDE = {"technician", "doctor", "nurse", "supervisor"}
ALLOWED = {
    "/devices": BEDSIDE | {"administrator"},
    "/devices/{device_id}": BEDSIDE | {"administrator"},
    "/devices/new": {"supervisor", "administrator"},
    "/devices/{device_id}/edit": {"supervisor", "administrator"},
    "/vitals/patients": BEDSIDE,
    "/vitals/patients/{patient_id}": BEDSIDE,
    "/vitals/patients/{patient_id}/new": BEDSIDE,
    "/vitals/held": BEDSIDE,
    "/vitals/held?which=decided": BEDSIDE,
    "/vitals/held/{held_id}": BEDSIDE,
}


def sit_down(clinic: Clinic, name: str, *roles: str) -> Desk:
    return at_pages(person(clinic, name, *roles))


def test_each_page_is_for_its_roles_and_usable(worn: Worn) -> None:
    assert worn.post(reading()).status_code == 200
    assert worn.post(reading(heart_rate=4)).status_code == 202
    (held_id,) = worn.clinic.rows("SELECT id FROM held_reading")[0]
    ids = {"device_id": worn.device_id, "patient_id": worn.patient_id, "held_id": held_id}
    for role in ("technician", "verifier", "doctor", "nurse", "supervisor", "administrator", "radiology_technician"):
        desk = sit_down(worn.clinic, role, role)
        for path, allowed in ALLOWED.items():
            page = desk.get(path.format(**ids))
            assert (role, path, page.status) == (role, path, 200 if role in allowed else 403)


def test_an_administrator_sees_devices_without_their_patients(worn: Worn) -> None:
    desk = sit_down(worn.clinic, "ada", "administrator")
    for address in ("/devices", f"/devices/{worn.device_id}"):
        assert "P123" not in desk.get(address).source
    assert desk.post(f"/devices/{worn.device_id}/assign", {"patient": "P123"}).status == 403
    assert audited(worn.clinic.tenant_id, "patient.read") == []


def test_what_needs_looking_after_is_found(clinic: Clinic) -> None:
    patient_id = clinic.patient()
    ids = {code: clinic.device(code, patient_id, silence_minutes=10) for code in ("FINE", "QUIET", "EMPTY", "KEYLESS")}
    keys = {code: clinic.key(ids[code], expires_in_days=5 if code == "EMPTY" else 365) for code in ids}
    for code, level in (("FINE", 80), ("QUIET", 90), ("EMPTY", 7), ("KEYLESS", 50)):
        assert clinic.post(keys[code], reading(device_id=code, battery_level=level)).status_code == 200
    with tenant_session(clinic.tenant_id) as session:
        session.execute(
            text("UPDATE device_contact SET contact_at = now() - interval '11 min' WHERE device_id = :d"),
            {"d": ids["QUIET"]},
        )
        session.execute(text("UPDATE device_key SET revoked_at = now() WHERE device_id = :d"), {"d": ids["KEYLESS"]})
    desk = sit_down(clinic, "nora", "nurse")
    for which, wanted in (
        ("all", {"FINE", "QUIET", "EMPTY", "KEYLESS"}),
        ("silent", {"QUIET"}),
        ("battery", {"EMPTY"}),
        ("key", {"EMPTY", "KEYLESS"}),
    ):
        page = desk.get(f"/devices?show={which}")
        assert {code for code in ids if f"Device {code}" in page.source} == wanted
    assert desk.get("/devices?show=colour").status == 422


def test_a_device_is_added_changed_and_given_away(clinic: Clinic) -> None:
    clinic.patient("P123")
    desk = sit_down(clinic, "boss", "supervisor")
    form = {"device_id": "OXI-1", "name": "Oximeter", "device_type": "Pulse Oximeter", "is_active": "true"}
    assert desk.post("/devices/new", form | {"time_zone": "Mars"}).status == 422
    made = desk.post("/devices/new", form | {"time_zone": "Europe/Zurich", "silence_minutes": "30"})
    assert (made.status, made.place[:9]) == (303, "/devices/")
    assert desk.post("/devices/new", form).status == 409
    edit = desk.get(f"{made.place}/edit")
    assert (edit.value("silence_minutes"), edit.value("version")) == ("30", "1")
    assert desk.post(f"{made.place}/edit", form | {"name": "Clip", "version": "1"}).status == 303
    late = desk.post(f"{made.place}/edit", form | {"name": "Mine", "version": "1", "rate_per_minute": "60"})
    assert late.status == 409
    assert "Changed by somebody else" in late.text
    assert "Clip" in late.text
    assert (late.value("rate_per_minute"), late.value("version")) == ("60", "2")
    assert desk.post(f"{made.place}/assign", {"patient": "P999", "deed": "give"}).status == 422
    assert desk.post(f"{made.place}/assign", {"patient": "P123", "since": "soon", "deed": "give"}).status == 422
    assert desk.post(f"{made.place}/assign", {"patient": "P123", "deed": "give"}).status == 303
    assert "P123 now" in desk.get(made.place).text
    assert desk.post(f"{made.place}/assign", {"deed": "take"}).status == 303
    assert "Nobody's" in desk.get(made.place).text


def test_a_key_is_seen_on_the_page_once(worn: Worn) -> None:
    desk, place = sit_down(worn.clinic, "ada", "administrator"), f"/devices/{worn.device_id}"
    assert desk.post(f"{place}/keys", {"expires_in_days": "0"}).status == 422
    page = desk.post(f"{place}/keys", {"name": "Ward", "expires_in_days": "30", "can_write_vitals": "true"})
    (shown,) = page.of("code", id="new-device-key")
    key = shown.text.strip()
    assert worn.clinic.post(key, reading()).status_code == 200
    page = desk.get(place)
    assert key not in page.source
    assert "Ward" in page.text
    (first, *_) = (form for form in page.of("form") if form.attributes["action"].endswith("/revoke"))
    assert desk.post(first.attributes["action"]).status == 303
    assert worn.clinic.post(key, reading()).status_code == 401
    nurse = sit_down(worn.clinic, "nora", "nurse")
    assert nurse.get(place).of("section", id="keys") == []
    assert nurse.post(f"{place}/keys", {}).status == 403


def test_names_and_what_devices_send_are_only_text(clinic: Clinic) -> None:
    patient_id = clinic.patient()
    device_id = clinic.device("DEV001", patient_id, device_type=EVIL)
    with tenant_session(clinic.tenant_id) as session:
        session.execute(text("UPDATE device SET name = :n, code = 'DEV001'"), {"n": EVIL})
    key = clinic.key(device_id, name=EVIL)
    assert clinic.post(key, reading(notes=EVIL)).status_code == 200
    assert clinic.post(key, reading(heart_rate=4, notes=EVIL)).status_code == 202
    (held_id,) = clinic.rows("SELECT id FROM held_reading")[0]
    desk = sit_down(clinic, "boss", "supervisor", "administrator", "doctor")
    for address in (
        *("/devices", f"/devices/{device_id}", f"/devices/{device_id}/edit", "/vitals/patients", "/vitals/held"),
        *(f"/vitals/patients/{patient_id}", f"/vitals/held/{held_id}"),
    ):
        page = desk.get(address)
        assert EVIL not in page.source
        assert "&lt;script&gt;" in page.source, address
    made = desk.post(f"/devices/{device_id}/keys", {"name": "K", "can_write_vitals": "true"})
    assert EVIL not in made.source


def entry(**changed: str) -> dict[str, str]:
    minute = (utc_now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")  # in Lagos
    return {"timestamp": minute, "heart_rate": "80", "temperature_unit": "", "weight_unit": ""} | changed


def test_an_entry_is_stored_in_the_laboratorys_time_or_comes_back_with_the_complaint(worn: Worn) -> None:
    desk, place = sit_down(worn.clinic, "nora", "nurse"), f"/vitals/patients/{worn.patient_id}"
    form = desk.get(f"{place}/new")
    assert form.value("timestamp") in {
        (utc_now() + timedelta(hours=1, minutes=-ago)).strftime("%Y-%m-%dT%H:%M") for ago in (0, 1)
    }
    for wrong, field in (
        ({"weight": "70"}, "weight"),
        ({"temperature": "98.6", "temperature_unit": "C"}, "temperature"),
        ({"heart_rate": "fast"}, "heart_rate"),
        ({"blood_pressure_systolic": "80", "blood_pressure_diastolic": "120"}, "blood_pressure_systolic"),
    ):
        page = desk.post(f"{place}/new", entry(**wrong))
        assert page.status == 422
        (complaint,) = page.of("p", class_="field__error")
        assert complaint.attributes["id"] == f"entry-{field}-error"
        assert page.value(field) == wrong[field], "what was typed is still there"
    assert worn.clinic.rows("SELECT FROM vital_sign") == []
    good = entry(weight="70", weight_unit="kg", supplemental_oxygen="false", consciousness="alert")
    assert desk.post(f"{place}/new", good).place == place
    (row,) = worn.clinic.rows("SELECT * FROM vital_sign")
    assert (row.weight, row.supplemental_oxygen, row.recorded_by_nurse) == (70, False, desk.user_id)
    assert utc_now() - row.recorded_at < timedelta(minutes=2)
    page = desk.get(place)
    assert "by hand, a nurse" in page.text
    assert "breathing air" in page.text


def test_whoever_looks_at_a_patients_readings_is_noted(worn: Worn) -> None:
    assert worn.post(reading(heart_rate=4)).status_code == 202
    (held_id,) = worn.clinic.rows("SELECT id FROM held_reading")[0]
    desk = sit_down(worn.clinic, "nora", "nurse")
    place = f"/vitals/patients/{worn.patient_id}"
    for number, address in enumerate(("/vitals/patients", place, f"{place}/new", f"/vitals/held/{held_id}"), 1):
        desk.get(address)
        assert len(audited(worn.clinic.tenant_id, "patient.read")) == number, address
    desk.get("/vitals/held")
    assert len(audited(worn.clinic.tenant_id, "patient.read")) == 4, "that list shows no patients"


def test_a_held_reading_is_decided_on_its_page(worn: Worn) -> None:
    for minutes in (60, 30):
        assert worn.post(reading(heart_rate=4, timestamp=moment(minutes=minutes))).status_code == 202
    first, second = (row.id for row in worn.clinic.rows("SELECT id FROM held_reading ORDER BY id"))
    desk = sit_down(worn.clinic, "nora", "nurse")
    assert "Heart rate: impossible value" in desk.get("/vitals/held").text
    for form in ({"action": "release"}, {"reason": "seen"}, {"action": "burn", "reason": "seen"}):
        assert desk.post(f"/vitals/held/{first}/decide", form).status == 422
    assert desk.post(f"/vitals/held/{first}/decide", {"action": "release", "reason": "seen"}).status == 303
    assert desk.post(f"/vitals/held/{second}/decide", {"action": "discard", "reason": "seen"}).status == 303
    assert desk.post(f"/vitals/held/{second}/decide", {"action": "release", "reason": "seen"}).status == 409
    assert len(worn.clinic.rows("SELECT FROM vital_sign")) == 1
    decided = desk.get("/vitals/held?which=decided").text
    assert "Released" in decided
    assert "Discarded" in decided


def test_the_charts_show_what_was_measured_and_where_nothing_was(worn: Worn) -> None:
    readings: list[dict[str, Any]] = [
        {
            "timestamp": moment(hours=hours),
            "heart_rate": 60 + hours,
            "blood_pressure_systolic": 120,
            "blood_pressure_diastolic": 80,
        }
        for hours in (1, 2, 3, 4, 14, 15, 16)
    ]
    assert worn.post({"device_id": "DEV001", "readings": readings}, "/api/iot/vitals/batch/").status_code == 200
    other = worn.clinic.device("DEV002", worn.clinic.patient("P456"))
    theirs = reading(device_id="DEV002", heart_rate=199)
    assert worn.clinic.post(worn.clinic.key(other), theirs).status_code == 200
    page = sit_down(worn.clinic, "nora", "nurse").get(f"/vitals/patients/{worn.patient_id}?days=1")
    assert [one.text for one in page.of("title", id="told-heart_rate")] == [
        "Heart rate: 61 to 76 /min, latest 61; warning under 51, over 110 (outside the drawing); "
        "critical under 41, over 130 (outside the drawing); 1 gap without readings"
    ]
    assert "latest 120/80" in page.source
    assert "no reading for 10 h" in page.source
    assert page.source.count("<polyline") == 6, "three lines, each in two stretches"


def test_the_latest_value_is_a_measured_one_and_what_was_corrected_counts_no_more(worn: Worn) -> None:
    earliest, earlier, last = (moment(minutes=minutes) for minutes in (14, 13, 12))
    for at, rate in ((earliest, 70), (earlier, 250), (earlier, 80), (last, 190), (last, 100)):
        sent = reading(timestamp=at, heart_rate=rate)
        assert worn.post(sent).status_code == 200
    page = sit_down(worn.clinic, "nora", "nurse").get(f"/vitals/patients/{worn.patient_id}?days=30")
    (told,) = page.of("title", id="told-heart_rate")
    assert told.text.startswith("Heart rate: 70 to 100 /min, latest 100;")
