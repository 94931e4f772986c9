"""Every page about instruments: it renders, refuses who may not see it, and takes no form without its token."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from api import runs
from models.instruments.inputs import KeyInput
from models.instruments.stores.equipment import add_key
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from tests.api.helpers import PAGE, app, audited, client
from tests.conftest import Database
from tests.instruments.desk import sit_down
from tests.instruments.helpers import Lab, make_lab

pytestmark = pytest.mark.api
EVERY_ROLE = ("technician", "verifier", "doctor", "supervisor", "administrator")
READERS = {"technician", "verifier", "doctor", "supervisor"}
STAFF = {"technician", "verifier", "supervisor"}
ALL = set(EVERY_ROLE)
ALLOWED: dict[str, set[str]] = {
    "/worklist": READERS,
    "/worklist/rows": READERS,
    "/assignments/new": {"technician", "doctor", "supervisor"},
    "/assignments/{assignment_id}": READERS,
    "/assignments/{assignment_id}/result": {"technician", "supervisor"},
    "/assignments/{assignment_id}/correct": {"supervisor"},
    "/verification": {"verifier", "supervisor"},
    "/verification?show=release": {"verifier", "supervisor"},
    "/held": STAFF,
    "/held?which=decided": STAFF,
    "/held/{held_id}": STAFF,
    "/instruments": ALL,
    "/instruments/{equipment_id}": ALL,
    "/instruments/{equipment_id}/edit": {"supervisor", "administrator"},
    "/instruments/new": {"administrator"},
    "/catalogue": ALL,
    "/catalogue/tests/new": {"administrator"},
    "/catalogue/tests/{test_id}/edit": {"administrator"},
    "/catalogue/panels/new": {"administrator"},
    "/catalogue/panels/{panel_id}/edit": {"administrator"},
    "/catalogue/import": {"administrator"},
    "/departments": ALL,
    "/stale": STAFF,
}


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def add(self, flow: str, tenant: str, ids: Any) -> None:
            """No server is called."""

    monkeypatch.setattr(runs, "_wishes", Deaf)


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


@pytest.fixture
def numbers(lab: Lab) -> dict[str, int]:
    """An id for each name in an address."""
    (assignment_id,) = lab.queued()
    lab.answer(assignment_id, lab.body(assignment_id, patientId="PAT-OTHER"))
    with tenant_session(lab.tenant_id) as session:
        key = add_key(session, lab.tenant_id, SYSTEM, lab.equipment_id, KeyInput(key="0123456789")).id
    held_id = lab.held(assignment_id)[0].id
    return {
        "assignment_id": assignment_id,
        "held_id": held_id,
        "equipment_id": lab.equipment_id,
        "key_id": key,
        "department_id": 1,
        "test_id": 1,
        "panel_id": 1,
    }


def page_routes() -> Iterator[tuple[str, str]]:
    """Method and address of every page about instruments."""
    for route in iter_route_contexts(app().routes):
        module, path = getattr(route.endpoint, "__module__", ""), str(route.path)
        if module.startswith("api.instruments") and not path.startswith("/api/"):
            for method in sorted(route.methods or ()):
                yield method, path


def test_the_table_of_pages_names_them_all() -> None:
    told = {address.partition("?")[0] for address in ALLOWED} | {"/worklist/scan"}
    assert {path for method, path in page_routes() if method == "GET"} == told


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_each_page_shows_itself_to_its_roles_alone(lab: Lab, numbers: dict[str, int], role: str) -> None:
    desk = sit_down(lab, role, role)
    for address, allowed in ALLOWED.items():
        page = desk.get(address.format(**numbers))
        assert page.status == (200 if role in allowed else 403), address
    refusals = sum(role not in allowed for allowed in ALLOWED.values())
    assert len(audited(lab.tenant_id, "access.refused")) == refusals


def test_without_a_session_every_page_leads_to_the_sign_in(lab: Lab, numbers: dict[str, int]) -> None:
    browser = client(headers=PAGE)
    for method, path in page_routes():
        answer = browser.request(method, path.format(**numbers))
        assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login"), path


def test_a_form_without_its_token_is_refused_everywhere(lab: Lab, numbers: dict[str, int]) -> None:
    desk = sit_down(lab, "boss", "supervisor", "administrator", "doctor")
    paths = [path for method, path in page_routes() if method == "POST"]
    assert len(paths) > 20
    for path in paths:
        for token in ("", "0" * 64):
            answer = desk.browser.post(path.format(**numbers), data={"csrf_token": token, "chosen": "1:1"})
            assert answer.status_code == 403, path
    assert lab.assignment(numbers["assignment_id"]).status == "H"


def test_numbers_nobody_has_are_404_and_words_are_422(lab: Lab) -> None:
    desk = sit_down(lab, "boss", "supervisor", "administrator")
    for address in ALLOWED:
        if "_id}" in address:
            name = address.partition("{")[2].partition("}")[0]
            assert desk.get(address.format(**{name: 987654})).status == 404, address
            assert desk.get(address.format(**{name: "x"})).status == 422, address
    for address in ("/worklist?state=Z", "/worklist?priority=soon", "/worklist?department=x", "/worklist?page=x"):
        assert desk.get(address).status == 422, address


def test_no_page_names_a_patient_in_an_address(lab: Lab, numbers: dict[str, int]) -> None:
    desk = sit_down(lab, "boss", "supervisor", "administrator", "doctor")
    for address in ALLOWED:
        page = desk.get(address.format(**numbers))
        links = [one.attributes.get(name, "") for one in page.elements for name in ("href", "action", "hx-get")]
        assert not any("Bola" in link or "Ade" in link for link in links), address


def test_reading_one_patient_is_noted_and_the_list_shows_no_name(lab: Lab, numbers: dict[str, int]) -> None:
    desk = sit_down(lab, "tech", "technician")
    for address in ("/worklist", "/held", "/stale"):
        assert "Bola" not in desk.get(address).source
    assert audited(lab.tenant_id, "patient.read") == []
    for number, address in enumerate(("/assignments/{assignment_id}", "/held/{held_id}"), 1):
        assert "Bola" in desk.get(address.format(**numbers)).source
        assert len(audited(lab.tenant_id, "patient.read")) == number


def test_times_are_the_laboratorys_with_the_exact_one_beside(lab: Lab, numbers: dict[str, int]) -> None:
    page = sit_down(lab, "tech", "technician").get(f"/assignments/{numbers['assignment_id']}")
    times = page.of("time")
    assert times
    assert all("datetime" in one.attributes and one.attributes.get("title") for one in times)
