"""Two people at the same record: the later one is refused, told so, and shown what the other did."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.instruments.meanwhile_view import meanwhile_view
from api.instruments.pages_catalogue import RANGE_FIELDS
from models.instruments.stores.meanwhile import Meanwhile
from models.kernel.clock import utc_now
from tests.api.helpers import audited, make_user, signed_in
from tests.conftest import Database
from tests.instruments.desk import Page, sit_down
from tests.instruments.helpers import Lab, make_lab

pytestmark = pytest.mark.api
PATHS = {
    "/api/v1/tests": {"name": "Renamed"},
    "/api/v1/panels": {"name": "Renamed"},
    "/api/v1/departments": {"email": "new@lab.example"},
    "/api/v1/instruments": {"model": "M-2"},
}


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


@pytest.fixture
def admin(lab: Lab) -> TestClient:
    make_user(lab.tenant_id, "admin@alpha.org", "administrator")
    return signed_in("admin@alpha.org")


@pytest.mark.parametrize("path", PATHS)
def test_the_later_of_two_changes_is_409_and_says_which_version_is_there(admin: TestClient, path: str) -> None:
    if path.endswith("departments"):
        assert admin.post(path, json={"name": "Chemistry"}).json()["version"] == 1
    read = admin.get(path).json()[0]
    assert read["version"] == 1
    address = f"{path}/{read['id']}"
    given: dict[str, Any] = {name: value for name, value in read.items() if name != "id"}
    if path.endswith("instruments"):
        for name in ("checked_at", "is_online", "queue_length", "last_calibration_at"):
            del given[name]
    first = admin.put(address, json=given | PATHS[path])
    assert (first.status_code, first.json()["version"]) == (200, 2), first.text
    late = admin.put(address, json=given | {"name": "Too late"})
    assert late.status_code == 409
    assert "you have version 1, it is at version 2" in late.json()["error"]
    assert admin.put(address, json=given | {"name": "In time", "version": 2}).json()["version"] == 3
    assert (
        admin.put(address, json={name: value for name, value in given.items() if name != "version"}).status_code == 422
    )


def test_the_same_change_twice_is_one_change(lab: Lab, admin: TestClient) -> None:
    test = admin.get("/api/v1/tests").json()[0]
    given = {name: value for name, value in test.items() if name != "id"} | {"name": "Renamed"}
    for _ in range(2):  # a doubled click
        assert admin.put(f"/api/v1/tests/{test['id']}", json=given).json()["version"] == 2
    assert len(audited(lab.tenant_id, "test.update")) == 1


def typed_in(page: Page, *names: str) -> dict[str, Any]:
    """The form as it was opened, with the fields a browser would send."""
    form: dict[str, Any] = {name: page.value(name) for name in names}
    for field in RANGE_FIELDS:
        form[f"range_{field}"] = [one.attributes.get("value", "") for one in page.of("input", name=f"range_{field}")]
    chosen = [one for one in page.of("option", selected="") if one.text.strip() in ("any", "female", "male")]
    form["range_sex"] = [one.attributes["value"] for one in chosen]
    return form


def test_the_page_shows_the_others_change_and_keeps_what_was_typed(lab: Lab) -> None:
    ada, grace = sit_down(lab, "ada", "administrator"), sit_down(lab, "grace", "administrator")
    address = "/catalogue/tests/1/edit"
    names = ("version", "code", "name", "loinc", "unit", "specimen_type", "panic_low", "panic_high")
    opened = typed_in(grace.get(address), *names)
    opened |= {"verification_levels": "1", "is_active": "true", "result_type": "numeric"}
    assert ada.post(address, opened | {"panic_high": "21", "name": "Ada's name"}).status == 303
    page = grace.post(address, opened | {"name": "Grace's name"})
    assert page.status == 409
    assert "Changed by somebody else while you had it open: not saved yet" in page.text
    assert "ada@desk.example" in page.text
    assert "21" in page.text
    assert "both changed it" in page.text
    assert (page.value("name"), page.value("panic_high"), page.value("version")) == ("Grace's name", "21", "2")
    again = typed_in(page, *names) | {"verification_levels": "1", "is_active": "true", "result_type": "numeric"}
    assert grace.post(address, again).status == 303
    test = next(one for one in signed_in("grace@desk.example").get("/api/v1/tests").json() if one["id"] == 1)
    assert (test["name"], test["panic_high"], test["version"]) == ("Grace's name", "21", 3)


def test_departments_and_panels_show_it_too(lab: Lab) -> None:
    ada, grace = sit_down(lab, "ada", "administrator"), sit_down(lab, "grace", "administrator")
    ada.post("/departments", {"name": "Chemistry"})
    assert ada.post("/departments/1", {"name": "Chemistry", "email": "a@lab.example", "version": "1"}).status == 303
    page = grace.post("/departments/1", {"name": "Clinical chemistry", "version": "1"})
    assert (page.status, page.of("input", id="department1-email")[0].attributes["value"]) == (409, "a@lab.example")
    assert "taken over below" in page.text
    panel = {"code": "CBC", "name": "Count", "tests": "LAB-HGB", "is_active": "true", "version": "1"}
    assert ada.post("/catalogue/panels/1/edit", panel).status == 303
    page = grace.post("/catalogue/panels/1/edit", panel | {"name": "Blood count", "tests": "LAB-WBC"})
    assert page.status == 409
    assert "both changed it" in page.text


def test_after_a_mistake_a_departments_form_is_still_about_what_it_was_opened_with(lab: Lab) -> None:
    ada, grace = sit_down(lab, "ada", "administrator"), sit_down(lab, "grace", "administrator")
    ada.post("/departments", {"name": "Chemistry"})
    form = {"name": "Chemistry", "version": "1"}
    assert ada.post("/departments/1", form | {"email": "a@lab.example"}).status == 303
    page = grace.post("/departments/1", form | {"email": "no address"})
    assert (page.status, page.value("version")) == (422, "1")
    late = grace.post("/departments/1", form | {"email": "g@lab.example", "version": page.value("version")})
    assert (late.status, late.value("version")) == (409, "2")


@pytest.mark.unit
def test_only_what_both_changed_is_a_clash() -> None:
    changes: dict[str, list[Any]] = {
        "name": ["A", "B"],
        "unit": ["g/L", "g/dL"],
        "is_active": [True, False],
        "loinc": [None, "718-7"],
    }
    found = Meanwhile(("x",), utc_now() - timedelta(minutes=1), changes)
    view = meanwhile_view(found, {"name": "C", "unit": "g/L", "is_active": True, "loinc": "718-7"})
    assert view is not None
    assert [(one.label, one.is_clash) for one in view.fields] == [
        *(("Name", True), ("Unit", False), ("It can be ordered", False), ("LOINC", False)),
    ]
    assert view.merged == {"unit": "g/dL", "is_active": False}
