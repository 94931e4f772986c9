"""Through no route about instruments does one laboratory reach another's rows, nor anybody more than their role."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import text
from starlette.testclient import TestClient

from api import runs
from models.instruments.inputs import DepartmentInput, KeyInput, PushKeyInput
from models.instruments.stores.departments import create_department
from models.instruments.stores.equipment import add_key
from models.instruments.stores.push_keys import issue_push_key
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import owner_session, tenant_session
from tests.api.helpers import app, audited, make_user, signed_in, with_token
from tests.conftest import Database
from tests.instruments.helpers import TESTS, Lab, make_lab

pytestmark = pytest.mark.api
TABLES = (
    *("department", "equipment", "equipment_key", "test_definition", "reference_range", "panel", "panel_test"),
    *("assignment", "result", "verification", "assignment_comment", "instrument_message", "held_result"),
    *("outbox_event", "delivery", "idempotency_key", "api_token"),
)
EVERY_ROLE = ("technician", "verifier", "doctor", "supervisor", "administrator")
TEST = TESTS[0].model_dump(mode="json")
PANEL = {"code": "CBC", "name": "Mine", "tests": ["LAB-HGB"]}
BODIES: dict[str, Any] = {
    "update_department": {"name": "Mine", "version": 1},
    "update_instrument": {"name": "Mine", "version": 1},
    "add_instrument_key": {"key": "0123456789"},
    "create_push_key": {},
    "update_test": TEST | {"version": 1},
    "update_panel": PANEL | {"version": 1},
    "add_assignment_comment": {"body": "mine"},
    "cancel_assignment": {"reason": "mine now"},
    "choose_instrument": {"equipment_id": 1},
    "resolve_unknown_submission": {"outcome": "resend", "reason": "mine now"},
    "retest_assignment": {"reason": "mine now"},
    "enter_result": {"value": "1", "unit": "g/dL"},
    "correct_result": {"value": "1", "unit": "g/dL", "reason": "mine now", "version": 1},
    "verify_assignment": {"version": 1},
    "release_assignment": {"version": 1},
    "resolve_held_result": {"action": "discard", "reason": "mine now"},
    "match_held_result": {"assignment_id": 1, "reason": "mine now"},
}
PUSHES = {"push_result"}
"""Needs an instrument's own token, and is tried apart."""


def routes(*, with_id: bool) -> Iterator[tuple[str, str, str]]:
    """Method, address and name of the JSON routes about instruments, with or without an id in the address."""
    for route in iter_route_contexts(app().routes):
        module, path = getattr(route.endpoint, "__module__", ""), route.path or ""
        is_ours = module.startswith("api.instruments") and path.startswith("/api/")
        if is_ours and ("_id}" in path) is with_id:
            for method in sorted(route.methods or ()):
                yield method, path, str(route.name)


class Deaf:
    """Takes wishes for runs and does nothing about them."""

    def add(self, flow: str, tenant: str, assignment_ids: Any) -> None: ...


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run is asked for."""
    monkeypatch.setattr(runs, "_wishes", Deaf)


@pytest.fixture
def labs(database: Database) -> tuple[Lab, Lab]:
    """Ours and theirs."""
    return make_lab("alpha"), make_lab("beta")


@pytest.fixture
def theirs(labs: tuple[Lab, Lab]) -> dict[str, int]:
    """The ids of rows of the other laboratory, all of which are higher than any of ours."""
    lab = labs[1]
    (one,) = lab.queued(sample_id="BETA-SAMPLE")
    lab.answer(one, lab.body(one, patientId="BETA-SECRET"))
    with tenant_session(lab.tenant_id) as session:
        department = create_department(session, lab.tenant_id, lab.actor(), DepartmentInput(name="BETA-DEPT"))
        key = add_key(session, lab.tenant_id, lab.actor(), lab.equipment_id, KeyInput(key="0123456789"))
        return {
            "assignment_id": one,
            "held_id": lab.held(one)[0].id,
            "equipment_id": lab.equipment_id,
            "key_id": key.id,
            "department_id": department.id,
            "test_id": session.scalar(text("SELECT max(id) FROM test_definition")) or 0,
            "panel_id": session.scalar(text("SELECT max(id) FROM panel")) or 0,
            "patient_id": lab.patient_id,
        }


def snapshot(tenant_id: int) -> dict[str, list[Any]]:
    with owner_session() as session:
        return {
            table: [
                tuple(row)
                for row in session.execute(text(f"SELECT * FROM {table} WHERE tenant_id = {tenant_id} ORDER BY id"))
            ]
            for table in TABLES
        }


@pytest.fixture
def mine(labs: tuple[Lab, Lab], theirs: dict[str, int]) -> TestClient:
    make_user(labs[0].tenant_id, "boss@alpha.org", *EVERY_ROLE)
    return signed_in("boss@alpha.org")


def test_no_route_reaches_anothers_row_and_each_attempt_is_audited(
    labs: tuple[Lab, Lab], theirs: dict[str, int], mine: TestClient
) -> None:
    ours, other = labs
    before = snapshot(other.tenant_id)
    tried = [route for route in routes(with_id=True) if route[2] not in PUSHES]
    assert len(tried) >= 28
    for method, path, name in tried:
        answer = mine.request(method, path.format(**theirs), json=BODIES.get(name))
        assert answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text}"
        assert "BETA-" not in answer.text
        unknown = mine.request(method, path.format(**dict.fromkeys(theirs, 424_242)), json=BODIES.get(name))
        assert unknown.status_code == 404, f"{method} {path} with an unknown id: {unknown.status_code}"
    assert snapshot(other.tenant_id) == before
    refused = [
        row for row in audited(ours.tenant_id, "access.refused") if row.changes["reason"] == "not of this tenant"
    ]
    assert len(refused) == len(tried)
    assert audited(other.tenant_id, "access.refused") == []


def test_an_id_in_a_body_reaches_no_further(labs: tuple[Lab, Lab], theirs: dict[str, int], mine: TestClient) -> None:
    ours, other = labs
    (own,) = ours.order()
    before = snapshot(other.tenant_id)
    order = {"patient_code": "PAT-001", "test_code": "LAB-HGB", "sample_id": "S-1"}
    a = "/api/v1/assignments"
    for path, body in (
        (a, {"patient_id": theirs["patient_id"], "test_code": "LAB-HGB", "sample_id": "S-1"}),
        (a, order | {"equipment_id": theirs["equipment_id"]}),
        (f"{a}/{own}/instrument", {"equipment_id": theirs["equipment_id"]}),
        (f"{a}/acknowledge-stale", {"assignment_ids": [theirs["assignment_id"]]}),
        ("/api/v1/instruments", {"name": "N", "department_id": theirs["department_id"]}),
    ):
        answer = mine.post(path, json=body)
        assert answer.status_code == 404, f"{path} {body}: {answer.status_code} {answer.text}"
    seen = [{"assignment_id": theirs["assignment_id"], "version": 1}]
    for path in ("verify", "release"):
        (outcome,) = mine.post(f"{a}/{path}", json={"assignments": seen}).json()["outcomes"]
        assert outcome["kind"] == "not_found"
    assert len(audited(ours.tenant_id, "access.refused")) == 7
    assert snapshot(other.tenant_id) == before


def test_lists_show_ones_own_laboratory_only(mine: TestClient, theirs: dict[str, int]) -> None:
    for _, path, _ in (route for route in routes(with_id=False) if route[0] == "GET"):
        parameters = {"code": "BETA-SAMPLE"} if path.endswith("/scan") else {}
        answer = mine.get(path, params=parameters)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        assert "BETA-" not in answer.text, path
    filtered = mine.get("/api/v1/assignments", params={"equipment_id": theirs["equipment_id"]}).json()
    assert (filtered["items"], filtered["total"]) == ([], 0)


def test_a_push_key_opens_one_door_of_one_instrument(labs: tuple[Lab, Lab], theirs: dict[str, int]) -> None:
    ours, other = labs
    with tenant_session(ours.tenant_id) as session:
        token = issue_push_key(session, ours.tenant_id, SYSTEM, ours.equipment_id, PushKeyInput())[1]
    before = snapshot(other.tenant_id)
    body = other.body(theirs["assignment_id"])
    answer = with_token(token).post(f"/api/v1/instruments/{theirs['equipment_id']}/results", content=body)
    assert answer.status_code == 404
    assert snapshot(other.tenant_id) == before
    assert len(audited(ours.tenant_id, "access.refused")) == 1


RIGHTS: dict[str, set[str]] = {
    "create_assignments": {"technician", "doctor", "supervisor"},
    "create_many_assignments": {"technician", "doctor", "supervisor"},
    "list_assignments": {"technician", "verifier", "doctor", "supervisor"},
    "scan_accession": {"technician", "verifier", "doctor", "supervisor"},
    "get_assignment": {"technician", "verifier", "doctor", "supervisor"},
    "get_assignment_timeline": {"technician", "verifier", "supervisor"},
    "list_assignment_comments": {"technician", "verifier", "doctor", "supervisor"},
    "add_assignment_comment": {"technician", "verifier", "doctor", "supervisor"},
    "list_patient_results": {"technician", "verifier", "doctor", "supervisor"},
    "send_assignment": {"technician", "supervisor"},
    "fetch_assignment": {"technician", "supervisor"},
    "cancel_assignment": {"technician", "supervisor"},
    "choose_instrument": {"technician", "supervisor"},
    "resolve_unknown_submission": {"technician", "supervisor"},
    "enter_result": {"technician", "supervisor"},
    "retest_assignment": {"technician", "verifier", "supervisor"},
    "acknowledge_stale_assignments": {"technician", "verifier", "supervisor"},
    "correct_result": {"supervisor"},
    "verify_assignment": {"verifier", "supervisor"},
    "verify_many_assignments": {"verifier", "supervisor"},
    "release_assignment": {"verifier", "supervisor"},
    "release_many_assignments": {"verifier", "supervisor"},
    "list_held_results": {"technician", "verifier", "supervisor"},
    "get_held_result": {"technician", "verifier", "supervisor"},
    "resolve_held_result": {"supervisor"},
    "match_held_result": {"supervisor"},
    "list_departments": set(EVERY_ROLE),
    "list_instruments": set(EVERY_ROLE),
    "get_instrument": set(EVERY_ROLE),
    "list_instrument_figures": set(EVERY_ROLE),
    "get_instrument_figures": set(EVERY_ROLE),
    "list_tests": set(EVERY_ROLE),
    "get_test": set(EVERY_ROLE),
    "list_panels": set(EVERY_ROLE),
    "update_instrument": {"administrator", "supervisor"},
    "test_instrument_connection": {"administrator", "supervisor"},
    "create_department": {"administrator"},
    "update_department": {"administrator"},
    "create_instrument": {"administrator"},
    "list_instrument_keys": {"administrator"},
    "add_instrument_key": {"administrator"},
    "end_instrument_key": {"administrator"},
    "list_push_keys": {"administrator"},
    "create_push_key": {"administrator"},
    "revoke_push_key": {"administrator"},
    "create_test": {"administrator"},
    "update_test": {"administrator"},
    "create_panel": {"administrator"},
    "update_panel": {"administrator"},
    "preview_catalogue": {"administrator"},
    "apply_catalogue": {"administrator"},
}


def test_every_route_is_for_the_roles_it_says_and_403_for_the_others(labs: tuple[Lab, Lab]) -> None:
    ours = labs[0]
    every = [*routes(with_id=True), *routes(with_id=False)]
    assert {name for _, _, name in every} == set(RIGHTS) | PUSHES
    ids = dict.fromkeys(
        ("assignment_id", "held_id", "equipment_id", "key_id", "department_id", "test_id", "panel_id", "patient_id"),
        424_242,
    )
    for role in EVERY_ROLE:
        make_user(ours.tenant_id, f"{role}@alpha.org", role)
        browser = signed_in(f"{role}@alpha.org")
        for method, path, name in every:
            if name in PUSHES:
                continue
            status = browser.request(method, path.format(**ids), json=BODIES.get(name)).status_code
            assert (status != 403) is (role in RIGHTS[name]), f"{role} {method} {path}: {status}"
    stranger = with_token("lw_api_" + "x" * 43)
    for method, path, name in every:
        assert stranger.request(method, path.format(**ids), json=BODIES.get(name)).status_code == 401, path
