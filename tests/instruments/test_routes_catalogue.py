"""The catalogue over HTTP: preview, apply, and what is wrong said with place and field."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.helpers import audited, make_user, signed_in
from tests.conftest import Database
from tests.instruments.helpers import Lab, make_lab

pytestmark = pytest.mark.api
TEST = {"code": "LAB-K", "loinc": "2823-3", "name": "Potassium", "specimen_type": "Serum", "unit": "mmol/L"}
C = "/api/v1/catalogue"


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


@pytest.fixture
def admin(lab: Lab) -> TestClient:
    make_user(lab.tenant_id, "admin@alpha.org", "administrator")
    return signed_in("admin@alpha.org")


def test_a_file_is_previewed_and_then_applied_as_shown(lab: Lab, admin: TestClient) -> None:
    panel = {"code": "K", "name": "K", "tests": ["LAB-K"]}
    body = json.dumps({"tests": [TEST], "panels": [panel]}).encode()
    shown = admin.post(f"{C}/preview", params={"format": "json"}, content=body).json()
    assert (shown["new"], shown["changed"], shown["unchanged"], shown["problems"]) == (2, 0, 0, [])
    assert not [row for row in admin.get("/api/v1/tests").json() if row["code"] == "LAB-K"]
    parameters = {"format": "json", "token": shown["token"]}
    for expected in (2, 0):
        done = admin.post(f"{C}/apply", params=parameters, content=body)
        assert (done.status_code, done.json()["new"]) == (200, expected)
    (made,) = [row for row in admin.get("/api/v1/tests").json() if row["code"] == "LAB-K"]
    assert made["loinc"] == "2823-3"
    assert [row["tests"] for row in admin.get("/api/v1/panels").json() if row["code"] == "K"] == [["LAB-K"]]
    assert len(audited(lab.tenant_id, "catalogue.import")) == 1


def test_bad_rows_are_shown_with_place_and_field_and_not_applied(admin: TestClient) -> None:
    body = b"code,name,specimen_type,unit,range_low\nA,A,Serum,mg/dL,low\n"
    shown = admin.post(f"{C}/preview", params={"format": "csv"}, content=body).json()
    assert [(one["place"], one["field"]) for one in shown["problems"]] == [("line 2", "range_low")]
    refused = admin.post(f"{C}/apply", params={"format": "csv", "token": shown["token"]}, content=body)
    assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, "file")


@pytest.mark.parametrize(
    ("path", "parameters", "field"),
    [("preview", {}, "format"), ("preview", {"format": "xml"}, "format"), ("apply", {"format": "json"}, "token")],
)
def test_a_request_without_its_parameters_is_422(
    admin: TestClient, path: str, parameters: dict[str, str], field: str
) -> None:
    answer = admin.post(f"{C}/{path}", params=parameters, content=b"{}")
    assert [problem["field"] for problem in answer.json()["fields"]] == [field]


def test_tests_are_made_and_changed_one_by_one(admin: TestClient) -> None:
    made = admin.post("/api/v1/tests", json=TEST | {"ranges": [{"low": "3.5", "high": "5.0"}]})
    assert made.status_code == 201, made.text
    path = f"/api/v1/tests/{made.json()['id']}"
    given: dict[str, Any] = {name: value for name, value in made.json().items() if name != "id"}
    assert admin.put(path, json=given | {"panic_high": "6.1"}).json()["panic_high"] == "6.1"
    given["version"] = 2
    assert admin.get(path).json()["ranges"][0]["low"] == "3.5"
    assert admin.post("/api/v1/tests", json=TEST).status_code == 409
    wrong = admin.put(path, json=given | {"loinc": "2823-4"})
    assert (wrong.status_code, wrong.json()["fields"][0]["field"]) == (422, "loinc")
    assert admin.put(path, json=given | {"equipment": "Nothing"}).json()["fields"][0]["field"] == "equipment"
    assert admin.put(path, json=given | {"code": "OTHER"}).json()["fields"][0]["field"] == "code"


def test_panels_are_made_and_changed_one_by_one(admin: TestClient) -> None:
    given = {"code": "BASIC", "name": "Basic", "tests": ["LAB-HGB", "LAB-WBC"]}
    made = admin.post("/api/v1/panels", json=given)
    assert made.status_code == 201, made.text
    path = f"/api/v1/panels/{made.json()['id']}"
    changed = given | {"tests": ["LAB-WBC"], "version": 1}
    assert admin.put(path, json=changed).json()["tests"] == ["LAB-WBC"]
    assert admin.post("/api/v1/panels", json=given).status_code == 409
    unknown = admin.put(path, json=given | {"tests": ["LAB-ZZZ"], "version": 2})
    assert (unknown.status_code, unknown.json()["fields"][0]["field"]) == (422, "tests.0")
