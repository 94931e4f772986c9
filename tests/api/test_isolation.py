"""Tenant A reads and changes no row of B through any route about people; each attempt leaves a trace in A's audit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import text
from starlette.testclient import TestClient

from models.kernel.audit import SYSTEM
from models.kernel.tenancy import owner_session, tenant_session
from models.people.schemas import IdentifierIn, PatientIn
from models.people.stores import patients
from tests.api.helpers import PAGE, app, audited, make_token, make_user, signed_in

pytestmark = pytest.mark.api
TABLES = ("app_user", "user_session", "api_token", "password_reset", "patient", "patient_identifier", "outbox_event")


@dataclass
class Theirs:
    """The ids of the other laboratory."""

    tenant_id: int
    ids: dict[str, int]


@pytest.fixture
def theirs(alpha: int, beta: int) -> Theirs:
    """Beta's rows; alpha is given rows first, so that the numbers differ."""
    for number in range(5):
        make_user(alpha, f"filler{number}@alpha.org")
    user_id = make_user(beta, "theirs@beta.org", "technician")
    make_token(beta, user_id)
    signed_in("theirs@beta.org")
    with tenant_session(beta) as session:
        patient = patients.create_patient(session, beta, SYSTEM, PatientIn(code="B-SECRET", family_name="Betason"))
        identifier = patients.add_identifier(
            session, beta, SYSTEM, patient.id, IdentifierIn(system="insurance", value="B-NUMBER")
        )
        numbers = {
            "user_id": user_id,
            "patient_id": patient.id,
            "identifier_id": identifier.id,
            "session_id": session.scalar(text("SELECT max(id) FROM user_session")),
            "token_id": session.scalar(text("SELECT max(id) FROM api_token")),
        }
    return Theirs(beta, numbers)


BODIES: dict[str, Any] = {
    "edit_user": {"name": "Mine"},
    "edit_patient": {"code": "B-SECRET", "version": 1},
    "add_patient_identifier": {"system": "x", "value": "y"},
    "merge_patient": {"merged_id": 1, "version": 1, "merged_version": 1},
}


def people_routes(*, pages: bool) -> Iterator[tuple[str, str, str]]:
    """Method, address and name of every route about people that takes an id."""
    for route in iter_route_contexts(app().routes):
        module = getattr(route.endpoint, "__module__", "")
        path = str(route.path)
        if module.startswith("api.people") and "_id}" in path and path.startswith("/api/") is not pages:
            for method in sorted(route.methods or ()):
                yield method, path, str(route.name)


def snapshot() -> dict[str, list[Any]]:
    with owner_session() as session:
        return {
            table: [
                tuple(row) for row in session.execute(text(f"SELECT * FROM {table} WHERE tenant_id = 2 ORDER BY id"))
            ]
            for table in TABLES
        }


@pytest.fixture
def mine(alpha: int, theirs: Theirs) -> TestClient:
    make_user(alpha, "boss@alpha.org", "supervisor", "administrator")
    return signed_in("boss@alpha.org")


def test_no_json_route_reaches_anothers_row(alpha: int, theirs: Theirs, mine: TestClient) -> None:
    before, routes = snapshot(), list(people_routes(pages=False))
    assert len(routes) >= 17
    for method, path, name in routes:
        answer = mine.request(method, path.format(**theirs.ids), json=BODIES.get(name))
        assert answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text}"
        assert "B-" not in answer.text
    assert snapshot() == before
    refused = [row for row in audited(alpha, "access.refused") if row.changes["reason"] == "not of this tenant"]
    assert len(refused) == len(routes)
    assert audited(theirs.tenant_id, "access.refused") == []  # nor do they learn who asked


def test_no_page_reaches_anothers_row(alpha: int, theirs: Theirs, mine: TestClient) -> None:
    before, routes = snapshot(), list(people_routes(pages=True))
    assert len(routes) >= 15
    form = {
        "csrf_token": mine.headers["X-CSRF-Token"], "name": "Mine", "roles": "doctor", "code": "B-SECRET",
        "version": "1", "merged_version": "1", "merged_id": "1", "system": "x", "value": "y",
    }  # fmt: skip
    for method, path, _ in routes:
        data = form if method == "POST" else None
        answer = mine.request(method, path.format(**theirs.ids), data=data, headers=PAGE)
        assert answer.status_code == 404, f"{method} {path}: {answer.status_code}"
        assert "Betason" not in answer.text
    assert snapshot() == before
    assert len(audited(alpha, "access.refused")) >= len(routes)


def test_an_id_in_a_body_reaches_no_further(alpha: int, theirs: Theirs, mine: TestClient) -> None:
    own = mine.post("/api/v1/patients", json={"code": "A1"}).json()
    given = {"merged_id": theirs.ids["patient_id"], "version": 1, "merged_version": 1}
    assert mine.post(f"/api/v1/patients/{own['id']}/merge", json=given).status_code == 404
    with tenant_session(theirs.tenant_id) as session:
        assert patients.get_patient(session, theirs.tenant_id, theirs.ids["patient_id"]).merged_into_id is None


def test_lists_and_searches_show_ones_own_laboratory_only(alpha: int, theirs: Theirs, mine: TestClient) -> None:
    for address in (
        "/api/v1/patients", "/api/v1/patients?q=B-", "/api/v1/patients?code=B-SECRET", "/api/v1/patients?q=Betaso",
        "/api/v1/patients?q=B-NUMBER", "/api/v1/users", "/api/v1/tokens", "/api/v1/sessions", "/patients?q=Betaso",
        "/users", "/account", "/access-log?code=B-SECRET",
    ):  # fmt: skip
        text_shown = mine.get(address, headers=PAGE).text
        assert "Betason" not in text_shown, address
        assert "beta.org" not in text_shown, address


def test_an_id_nobody_has_is_404_too_and_no_trace_is_left(alpha: int, theirs: Theirs, mine: TestClient) -> None:
    unknown = mine.get("/api/v1/patients/424242")
    foreign = mine.get(f"/api/v1/patients/{theirs.ids['patient_id']}")
    assert unknown.status_code == foreign.status_code == 404
    assert unknown.json()["error"] == "no patient 424242"
    assert foreign.json()["error"] == f"no patient {theirs.ids['patient_id']}"
    assert [row.resource_id for row in audited(alpha, "access.refused")] == [str(theirs.ids["patient_id"])]
