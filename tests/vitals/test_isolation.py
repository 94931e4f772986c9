"""Through nothing about vitals does one clinic reach another's rows, and no form is taken without its token."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import text

from models.kernel.tenancy import owner_session
from tests.api.helpers import PAGE, app, audited
from tests.conftest import Database
from tests.factories import make_tenant
from tests.vitals.conftest import Clinic
from tests.vitals.desk import EVERY_ROLE, at_pages, moment, person, reading

pytestmark = pytest.mark.api
TABLES = ("device", "device_patient", "device_key", "held_reading", "vital_sign", "device_activity", "device_contact")
BODIES: dict[str, Any] = {
    "update_device": {"device_id": "MINE", "name": "Mine", "version": 1},
    "assign_device": {"patient_id": None},
    "create_device_key": {},
    "release_held_reading": {"reason": "mine now"},
    "discard_held_reading": {"reason": "mine now"},
}


def routes(prefix: str) -> Iterator[tuple[str, str, str]]:
    """Method, address and name of what is served about vitals below `prefix` and has an id in its address."""
    for route in iter_route_contexts(app().routes):
        module, path = getattr(route.endpoint, "__module__", ""), route.path or ""
        if module.startswith("api.vitals") and path.startswith("/api/") is (prefix == "/api/") and "_id}" in path:
            for method in sorted(route.methods or ()):
                yield method, path, str(route.name)


@pytest.fixture
def clinics(database: Database) -> tuple[Clinic, Clinic]:
    return Clinic(make_tenant("alpha")), Clinic(make_tenant("beta"))


@pytest.fixture
def theirs(clinics: tuple[Clinic, Clinic]) -> dict[str, int]:
    """The ids of rows of the other clinic."""
    clinic = clinics[1]
    patient_id = clinic.patient("BETA-PATIENT")
    clinic.patient("BETA-OTHER")
    device_id = clinic.device("DEV001", patient_id)
    key = clinic.key(device_id)
    assert clinic.post(key, reading(notes="BETA-NOTE")).status_code == 200
    assert clinic.post(key, reading(heart_rate=4, timestamp=moment(hours=1), notes="BETA-HELD")).status_code == 202
    ids = {"device_id": device_id, "patient_id": patient_id}
    for name, table in (("held_id", "held_reading"), ("key_id", "device_key")):
        ids[name] = clinic.rows(f"SELECT max(id) FROM {table}")[0][0]
    return ids


def snapshot(tenant_id: int) -> dict[str, list[Any]]:
    with owner_session() as session:
        session.execute(text("SELECT set_config('labwire.tenant_id', :id, true)"), {"id": str(tenant_id)})
        return {
            table: sorted(session.scalars(text(f"SELECT x::text FROM {table} x WHERE tenant_id = {tenant_id}")))
            for table in TABLES
        }


def test_no_route_reaches_anothers_row_and_each_attempt_is_audited(
    clinics: tuple[Clinic, Clinic], theirs: dict[str, int]
) -> None:
    mine, before = person(clinics[0], "boss", *EVERY_ROLE), snapshot(clinics[1].tenant_id)
    assert all(before.values())
    tried = list(routes("/api/"))
    assert len(tried) >= 11
    for method, path, name in tried:
        answer = mine.request(method, path.format(**theirs), json=BODIES.get(name))
        assert answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text}"
        assert "BETA-" not in answer.text
        unknown = mine.request(method, path.format(**dict.fromkeys(theirs, 424_242)), json=BODIES.get(name))
        assert unknown.status_code == 404, f"{method} {path} with an unknown id: {unknown.status_code}"
    assert snapshot(clinics[1].tenant_id) == before
    assert len(audited(clinics[0].tenant_id, "access.refused")) == len(tried)
    assert audited(clinics[1].tenant_id, "access.refused") == []


def test_no_page_reaches_anothers_row_and_each_attempt_is_audited(
    clinics: tuple[Clinic, Clinic], theirs: dict[str, int]
) -> None:
    desk, before = at_pages(person(clinics[0], "boss", *EVERY_ROLE)), snapshot(clinics[1].tenant_id)
    tried = list(routes("/"))
    assert len(tried) >= 10
    forms = {"reason": "mine now", "device_id": "MINE", "name": "Mine", "version": "1", "heart_rate": "70"}
    for number, (method, path, _) in enumerate(tried, 1):
        address = path.format(**theirs)
        page = desk.get(address) if method == "GET" else desk.post(address, forms)
        assert (path, page.status) == (path, 404)
        assert "BETA-" not in page.source
        assert (path, len(audited(clinics[0].tenant_id, "access.refused"))) == (path, number)
    assert snapshot(clinics[1].tenant_id) == before


def test_an_id_in_a_body_or_filter_reaches_no_further(clinics: tuple[Clinic, Clinic], theirs: dict[str, int]) -> None:
    mine, before = person(clinics[0], "boss", *EVERY_ROLE), snapshot(clinics[1].tenant_id)
    own = clinics[0].device("OWN")
    given = {"patient_id": theirs["patient_id"]}
    assert mine.post(f"/api/v1/devices/{own}/assign", json=given).status_code == 404
    assert mine.post("/api/v1/vitals", json=given | {"heart_rate": 70}).status_code == 404
    assert mine.get("/api/v1/vitals", params=given).status_code == 404
    assert len(audited(clinics[0].tenant_id, "access.refused")) == 3
    assert mine.get("/api/v1/vitals", params={"device_id": "DEV001"}).json()["items"] == []
    for address in ("/api/v1/vitals", "/api/v1/vitals/held", "/api/v1/devices"):
        assert "DEV001" not in mine.get(address).text
    for address in ("/devices", "/vitals/patients", "/vitals/patients?q=BETA", "/vitals/held"):
        text_shown = mine.get(address, headers=PAGE).text
        assert "BETA" not in text_shown.replace("“BETA”", "").replace('value="BETA"', ""), address
        assert "DEV001" not in text_shown
    assert snapshot(clinics[1].tenant_id) == before


def test_no_form_is_taken_without_its_token(clinics: tuple[Clinic, Clinic]) -> None:
    clinic = clinics[0]
    patient_id = clinic.patient()
    device_id = clinic.device("DEV001", patient_id)
    key = clinic.key(device_id)
    assert clinic.post(key, reading(heart_rate=4)).status_code == 202
    ids = {"device_id": device_id, "patient_id": patient_id, "held_id": 1, "key_id": 1}
    desk, before = at_pages(person(clinic, "boss", *EVERY_ROLE)), snapshot(clinic.tenant_id)
    posts = [path for method, path, _ in routes("/") if method == "POST"] + ["/devices/new"]
    assert len(posts) >= 7
    form = {"reason": "mine now", "device_id": "MINE", "name": "Mine", "version": "1", "heart_rate": "70"}
    for path in posts:
        assert desk.browser.post(path.format(**ids), data=form).status_code == 403, path
        assert desk.browser.post(path.format(**ids), data=form | {"csrf_token": "x" * 43}).status_code == 403, path
    assert snapshot(clinic.tenant_id) == before
