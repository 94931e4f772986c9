"""Instruments, their keys, departments and the catalogue, as they are kept on the pages."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from deployments.simulators.instrument import SimulatedInstrument
from models.instruments.stores.checks import Check, record_checks
from models.instruments.stores.equipment import current_keys, get_equipment
from models.kernel.audit import SYSTEM
from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from tests.conftest import Database
from tests.instruments.desk import Desk, sit_down
from tests.instruments.helpers import Lab, make_lab

pytestmark = pytest.mark.api
CSV = """code,name,specimen_type,unit,range_low,range_high
LAB-NA,Sodium,Serum,mmol/L,136,145
LAB-K,Potassium,Serum,mmol/L,3.5,5.0
"""


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


@pytest.fixture
def admin(lab: Lab) -> Desk:
    return sit_down(lab, "keeper", "administrator")


@pytest.fixture
def analyser() -> Iterator[SimulatedInstrument]:
    with SimulatedInstrument(queue_seconds=0, run_seconds=0) as running:
        yield running


def checks(lab: Lab, *answers: bool) -> None:
    """Status checks five minutes apart, the last one now."""
    now = utc_now()
    made = [
        Check(lab.equipment_id, now - timedelta(minutes=5 * back), "online" if is_online else "no connection", 3)
        for back, is_online in enumerate(reversed(answers))
    ]
    with tenant_session(lab.tenant_id) as session:
        for one in reversed(made):
            record_checks(session, lab.tenant_id, SYSTEM, [one])


def test_the_fleet_shows_uptime_queue_turnaround_and_what_went_wrong(lab: Lab, admin: Desk) -> None:
    checks(lab, True, True, False, True)
    lab.order(count=2)
    failed, unknown, done = lab.order()[0], lab.order()[0], lab.queued()[0]
    lab.answer(done)
    with tenant_session(lab.tenant_id) as session:
        session.execute(text(f"UPDATE assignment SET status = 'F' WHERE id = {failed}"))
        session.execute(text(f"UPDATE assignment SET status = 'U' WHERE id = {unknown}"))
        session.execute(
            text(f"UPDATE assignment SET queued_at = analyzed_at - interval '90 minutes' WHERE id = {done}")
        )
    page = admin.get("/instruments")
    for said in ("Online", "75.0 %", "1 h 30 min", "2 to send", "1 failed", "1 unknown", "3"):
        assert said in page.text, said
    page = admin.get(f"/instruments/{lab.equipment_id}")
    assert "3 of 4 checks were answered in the last 48 hours" in page.text
    assert "no connection" in page.text
    assert re.search(r"Lasted.*5 min", page.text)


def test_an_instrument_never_checked_has_no_uptime_rather_than_a_bad_one(lab: Lab, admin: Desk) -> None:
    assert "Not checked yet" in admin.get("/instruments").text
    assert "0 %" not in admin.get("/instruments").text


def test_testing_the_connection(lab: Lab, admin: Desk, analyser: SimulatedInstrument) -> None:
    page = admin.post(f"/instruments/{lab.equipment_id}/test-connection", headers={"HX-Request": "true"})
    assert "No: " in page.source
    with tenant_session(lab.tenant_id) as session:
        get_equipment(session, lab.tenant_id, lab.equipment_id).api_endpoint = analyser.url
    admin.post(f"/instruments/{lab.equipment_id}/keys", {"key": analyser.api_key})
    page = admin.post(f"/instruments/{lab.equipment_id}/test-connection", headers={"HX-Request": "true"})
    assert "It answered: online, 0 in its queue" in re.sub(r"\s+", " ", page.source)
    assert admin.post(f"/instruments/{lab.equipment_id}/test-connection").status == 303  # without scripts
    assert "It answered: online." in admin.get(f"/instruments/{lab.equipment_id}").text


def test_adding_and_changing_an_instrument(lab: Lab, admin: Desk) -> None:
    form: dict[str, Any] = {"name": "", "auth_header": "X-API-Key", "api_endpoint": "ftp://x", "timeout_seconds": "900"}
    page = admin.post("/instruments/new", form)
    assert page.status == 422
    for name in ("name", "api_endpoint", "timeout_seconds"):
        assert page.of("input", id=f"equipment-{name}")[0].attributes["aria-invalid"] == "true"
    assert page.value("api_endpoint") == "ftp://x"
    form |= {"name": "New one", "api_endpoint": "https://lab.example", "timeout_seconds": "5", "is_idempotent": "true"}
    place = admin.post("/instruments/new", form).place
    number = int(place.rpartition("/")[2])
    edit = admin.get(f"{place}/edit")
    assert edit.value("version") == "1"
    assert "checked" in edit.of("input", id="equipment-is_idempotent")[0].attributes
    assert "checked" not in edit.of("input", id="equipment-supports_auto_fetch")[0].attributes
    changed = {"name": "Renamed", "auth_header": "X-API-Key", "status": "maintenance", "version": "1"}
    assert admin.post(f"{place}/edit", changed).status == 303
    page = admin.post(f"{place}/edit", changed | {"name": "Too late"})
    assert page.status == 409
    assert "Changed by somebody else while you had it open" in page.text
    assert (page.value("name"), page.value("version")) == ("Too late", "2")
    with tenant_session(lab.tenant_id) as session:
        row = get_equipment(session, lab.tenant_id, number)
        assert (row.name, row.status, row.is_idempotent, row.api_endpoint) == ("Renamed", "maintenance", False, None)
    assert admin.post("/instruments/new", form | {"name": "Renamed"}).status == 409


def test_keys_are_changed_over_and_never_shown(lab: Lab, admin: Desk) -> None:
    place = f"/instruments/{lab.equipment_id}"
    page = admin.post(f"{place}/keys", {"key": "short"})
    assert page.status == 422
    assert page.of("p", id="key-key-error")
    for key in ("the-first-key", "the-second-key"):
        assert admin.post(f"{place}/keys", {"key": key, "overlap_hours": "2"}).status == 303
    page = admin.get(place)
    assert "the-first-key" not in page.source
    assert "the-second-key" not in page.source
    with tenant_session(lab.tenant_id) as session:
        newest, oldest = current_keys(session, lab.tenant_id, lab.equipment_id, now=utc_now())
    assert oldest.valid_until is not None
    assert admin.post(f"{place}/keys/{oldest.id}/end").status == 303
    assert admin.post(f"{place}/keys/{oldest.id}/end").status == 409
    with tenant_session(lab.tenant_id) as session:
        assert [one.id for one in current_keys(session, lab.tenant_id, lab.equipment_id, now=utc_now())] == [newest.id]
    supervisor = sit_down(lab, "boss", "supervisor")
    assert supervisor.get(place).of("section", id="keys") == []
    assert supervisor.post(f"{place}/keys", {"key": "the-third-key"}).status == 403


def test_departments(lab: Lab, admin: Desk) -> None:
    assert admin.post("/departments", {"name": "Haematology", "email": "h@lab.example"}).status == 303
    page = admin.post("/departments", {"name": "haematology", "email": "x"})
    assert page.status == 422
    assert page.of("p", id="new-email-error")
    page = admin.post("/departments", {"name": "HAEMATOLOGY"})
    assert page.status == 409
    assert page.of("input", id="new-name")[0].attributes["value"] == "HAEMATOLOGY"
    page = admin.post("/departments/1", {"name": "", "email": "h2@lab.example", "version": "1"})
    assert page.status == 422
    assert page.of("input", id="department1-email")[0].attributes["value"] == "h2@lab.example"
    assert admin.post("/departments/1", {"name": "Blood", "email": "", "version": "1"}).status == 303
    assert "no address" in admin.get("/departments").text


def test_a_test_is_added_and_changed_with_its_ranges(lab: Lab, admin: Desk) -> None:
    form: dict[str, Any] = {
        "code": "LAB-NA",
        "name": "Sodium",
        "specimen_type": "Serum",
        "loinc": "2951-3",
        "unit": "mmol/L",
        "result_type": "numeric",
        "verification_levels": "2",
        "is_active": "true",
        "range_sex": ["", "female", ""],
        "range_age_from_days": ["6570", "", ""],
        "range_age_to_days": ["", "30", ""],
        "range_low": ["136", "150", ""],
        "range_high": ["145", "140", ""],
    }
    page = admin.post("/catalogue/tests/new", form)
    assert page.status == 422
    assert "check digit" in page.of("p", id="test-loinc-error")[0].text
    assert "low lies above high" in page.text.lower()
    assert [one.attributes["value"] for one in page.of("input", name="range_low")] == ["136", "150", "", ""]
    good = form | {"loinc": "2951-2", "range_low": ["136", "130", ""]}
    assert admin.post("/catalogue/tests/new", good).place == "/catalogue"
    page = admin.get("/catalogue")
    assert "136–145 from 18 y" in page.text
    assert "130–140 female, under 30 d" in page.text
    number = page.source.partition('">Sodium')[0].rpartition("/tests/")[2].partition("/")[0]
    edit = admin.get(f"/catalogue/tests/{number}/edit")
    assert [one.attributes["value"] for one in edit.of("input", name="range_high")] == ["145", "140", "", ""]
    assert edit.value("version") == "1"
    one_range = {"version": "1", "range_sex": [""], "range_age_from_days": [""], "range_age_to_days": [""]}
    changed = good | one_range | {"range_low": ["135"], "range_high": ["146"]}
    del changed["is_active"]
    assert admin.post(f"/catalogue/tests/{number}/edit", changed).status == 303
    page = admin.get("/catalogue")
    assert "135–146" in page.text
    assert "not offered" in page.text
    assert "LAB-NA" not in sit_down(lab, "tech", "technician").get("/assignments/new").source


def test_a_panel_is_added_and_changed(lab: Lab, admin: Desk) -> None:
    form = {"code": "TWO", "name": "Two", "tests": "LAB-HGB\nLAB-NOPE", "is_active": "true"}
    page = admin.post("/catalogue/panels/new", form)
    assert page.status == 422
    assert "No test has this code" in page.of("p", id="panel-tests-error")[0].text
    assert admin.post("/catalogue/panels/new", form | {"tests": "LAB-WBC\r\nLAB-HGB"}).status == 303
    page = admin.get("/catalogue")
    assert "LAB-WBC, LAB-HGB" in page.text
    number = page.source.partition('">Two')[0].rpartition("/panels/")[2].partition("/")[0]
    assert "LAB-WBC\nLAB-HGB" in admin.get(f"/catalogue/panels/{number}/edit").source
    assert admin.post(f"/catalogue/panels/{number}/edit", form | {"tests": "LAB-HGB", "version": "1"}).status == 303
    assert admin.post(f"/catalogue/panels/{number}/edit", form | {"code": "THREE", "version": "2"}).status == 422


def upload(desk: Desk, name: str, content: str) -> Any:
    return desk.post("/catalogue/import/preview", files={"file": (name, content.encode(), "text/csv")})


def test_an_import_is_previewed_and_then_applied_as_it_was_shown(lab: Lab, admin: Desk) -> None:
    page = upload(admin, "c.csv", CSV)
    assert page.status == 200
    assert "2 new 0 changed 0 unchanged" in page.text
    assert "Sodium" not in admin.get("/catalogue").text  # nothing is written yet
    form = {name: page.value(name) for name in ("token", "format", "packed")}
    assert admin.post("/catalogue/import/apply", form, files={"x": b""}).place == "/catalogue"
    assert "Imported: 2 new, 0 changed." in admin.get("/catalogue").text
    page = upload(admin, "c.csv", CSV.replace("145", "146"))
    assert "0 new 1 changed 1 unchanged" in page.text
    assert "ranges: 136–145 → 136–146" in page.text
    form = {name: page.value(name) for name in ("token", "format", "packed")}
    upload_again = upload(admin, "c.csv", CSV.replace("5.0", "5.1"))
    other = {name: upload_again.value(name) for name in ("token", "format", "packed")}
    assert admin.post("/catalogue/import/apply", other).status == 303
    page = admin.post("/catalogue/import/apply", form)
    assert page.status == 409
    assert "preview again" in page.text
    page = admin.post("/catalogue/import/apply", form | {"packed": "@@"})
    assert page.status == 422


def test_a_bad_file_says_where_and_cannot_be_applied(lab: Lab, admin: Desk) -> None:
    page = upload(admin, "c.csv", CSV.replace("Potassium,Serum", "Potassium,"))
    assert page.status == 422
    assert "line 3, specimen_type" in page.text
    assert page.of("input", name="token") == []
    for name, content, said in (
        ("c.txt", CSV, "neither .json nor .csv"),
        ("c.json", "{", "is not readable as JSON"),
        ("c.csv", "x" * 700_001, "larger than 700 kB"),
    ):
        page = upload(admin, name, content)
        assert page.status == 422
        assert said in page.text, name
    assert admin.post("/catalogue/import/preview").status == 422
