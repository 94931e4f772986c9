"""Departments and instruments: unique names, versions, and keys that are never shown."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from deployments.cli.main import app
from deployments.simulators.instrument import SimulatedInstrument
from models.instruments.inputs import DepartmentChange, DepartmentInput, EquipmentChange, EquipmentInput, KeyInput
from models.instruments.stores import departments, equipment
from models.instruments.stores.connections import load_connections
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, NotFoundError
from models.kernel.tables import AuditEvent
from models.kernel.tenancy import tenant_session
from tests.api.helpers import make_user, signed_in
from tests.conftest import Database
from tests.instruments.helpers import Lab, make_lab

pytestmark = pytest.mark.store
SECRET, SECOND = "first-key-of-the-analyser", "second-key-of-the-analyser"


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


@pytest.fixture
def admin(lab: Lab) -> TestClient:
    make_user(lab.tenant_id, "admin@alpha.org", "administrator")
    return signed_in("admin@alpha.org")


def valid_keys(lab: Lab) -> tuple[str, ...]:
    with tenant_session(lab.tenant_id) as session:
        return load_connections(session, lab.tenant_id)[lab.equipment_id].keys


def add(lab: Lab, key: str, **given: Any) -> int:
    with tenant_session(lab.tenant_id) as session:
        made = equipment.add_key(session, lab.tenant_id, lab.actor(), lab.equipment_id, KeyInput(key=key, **given))
        return made.id


def test_a_new_key_is_tried_first_and_the_old_one_lives_on_for_the_overlap(lab: Lab) -> None:
    add(lab, SECRET)
    assert valid_keys(lab) == (SECRET,)
    add(lab, SECOND, overlap_hours=2)
    assert valid_keys(lab) == (SECOND, SECRET)
    with tenant_session(lab.tenant_id) as session:
        second, first = equipment.list_keys(session, lab.tenant_id, lab.equipment_id)
        assert second.valid_until is None
        assert abs((first.valid_until or utc_now()) - utc_now() - timedelta(hours=2)) < timedelta(minutes=1)
        session.execute(text("UPDATE equipment_key SET valid_until = now() WHERE valid_until IS NOT NULL"))
    assert valid_keys(lab) == (SECOND,)


def test_without_overlap_the_old_key_ends_at_once_and_any_can_be_ended(lab: Lab) -> None:
    add(lab, SECRET)
    second = add(lab, SECOND, overlap_hours=0)
    assert valid_keys(lab) == (SECOND,)
    with tenant_session(lab.tenant_id) as session:
        equipment.end_key(session, lab.tenant_id, lab.actor(), lab.equipment_id, second)
    assert valid_keys(lab) == ()
    with pytest.raises(ConflictError), tenant_session(lab.tenant_id) as session:
        equipment.end_key(session, lab.tenant_id, lab.actor(), lab.equipment_id, second)


def test_a_key_lies_encrypted_and_is_in_no_answer_and_no_audit_row(lab: Lab, admin: TestClient) -> None:
    path = f"/api/v1/instruments/{lab.equipment_id}"
    answers = [admin.post(f"{path}/keys", json={"key": SECRET}), admin.get(f"{path}/keys"), admin.get(path)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert all(SECRET not in answer.text for answer in answers)
    with tenant_session(lab.tenant_id) as session:
        sealed = session.scalar(text("SELECT secret FROM equipment_key"))
        assert SECRET.encode() not in bytes(sealed)
        for row in session.query(AuditEvent):
            assert SECRET not in str(row.changes)


def test_names_and_serial_numbers_are_unique_and_the_field_is_named(lab: Lab) -> None:
    for given, field in (
        (EquipmentInput(name="Analyzer"), "name"),
        (EquipmentInput(name="Other", serial_number="SN1"), "serial_number"),
    ):
        with tenant_session(lab.tenant_id) as session:
            if field == "serial_number":
                first = EquipmentInput(name="First", serial_number="SN1")
                equipment.create_equipment(session, lab.tenant_id, lab.actor(), first)
            with pytest.raises(ConflictError) as refused:
                equipment.create_equipment(session, lab.tenant_id, lab.actor(), given)
            assert refused.value.field == field


def test_a_stale_change_is_refused(lab: Lab) -> None:
    given = EquipmentChange(name="Analyzer", model="M2", version=1)
    with tenant_session(lab.tenant_id) as session:
        row = equipment.update_equipment(session, lab.tenant_id, lab.actor(), lab.equipment_id, given)
        assert row.version == 2
    with pytest.raises(ConflictError, match="changed since"), tenant_session(lab.tenant_id) as session:
        equipment.update_equipment(session, lab.tenant_id, lab.actor(), lab.equipment_id, given)


def test_a_department_that_is_not_there_is_not_referred_to(lab: Lab) -> None:
    given = EquipmentInput(name="New", department_id=99_999)
    with pytest.raises(NotFoundError) as refused, tenant_session(lab.tenant_id) as session:
        equipment.create_equipment(session, lab.tenant_id, lab.actor(), given)
    assert refused.value.field == "department_id"


def test_departments_are_unique_whatever_the_case(lab: Lab) -> None:
    with tenant_session(lab.tenant_id) as session:
        made = departments.create_department(session, lab.tenant_id, lab.actor(), DepartmentInput(name="Chemistry"))
        with pytest.raises(ConflictError):
            departments.create_department(session, lab.tenant_id, lab.actor(), DepartmentInput(name="CHEMISTRY"))
        given = DepartmentChange(name="chemistry", email="Lab@Example.org", version=1)
        row = departments.update_department(session, lab.tenant_id, lab.actor(), made.id, given)
        assert (row.name, row.email) == ("chemistry", "lab@example.org")


@pytest.mark.unit
@pytest.mark.parametrize(
    "changed",
    [
        {"api_endpoint": "ftp://x"},
        {"api_endpoint": "http://user:secret@host"},
        {"api_endpoint": "http://host/?a=1"},
        {"api_endpoint": "http:// host"},
        {"api_endpoint": "http://windows-lims.local:8080"},
        {"api_endpoint": "http://10.0.0.1"},
        {"api_endpoint": "https://host:port"},
        {"api_endpoint": "file:///etc/passwd"},
        {"auth_header": "X Key"},
        {"auth_header": "X-Key: a\r\nY: b"},
        {"status": "broken"},
        {"timeout_seconds": 0},
        {"timeout_seconds": 61},
        {"timeout_seconds": "NaN"},
        {"calibration_date": "2025-13-01"},
        {"name": " "},
    ],
)
def test_an_instrument_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EquipmentInput.model_validate({"name": "A"} | changed)


def test_the_connection_is_tested_and_what_stands_in_the_way_is_said(lab: Lab, admin: TestClient) -> None:
    path = f"/api/v1/instruments/{lab.equipment_id}"
    away = admin.post(f"{path}/test-connection").json()
    assert away["is_online"] is False
    assert away["problem"]
    given = {"name": "Analyzer", "version": 1}
    with SimulatedInstrument(api_keys=(SECRET,)) as instrument:
        changed = admin.put(path, json=given | {"api_endpoint": instrument.url})
        assert changed.status_code == 200, changed.text
        refused = admin.post(f"{path}/test-connection").json()
        assert (refused["is_online"], refused["problem"] is None) == (False, False)
        admin.post(f"{path}/keys", json={"key": SECRET})
        found = admin.post(f"{path}/test-connection").json()
        assert (found["is_online"], found["status"], found["problem"]) == (True, "online", None)
    changed = admin.put(path, json=given | {"version": 2})
    answer = admin.post(f"{path}/test-connection")
    assert (changed.status_code, answer.status_code) == (200, 409)


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


def test_an_instrument_is_created_from_the_command_line(lab: Lab) -> None:
    words = ("instrument", "create", "Analyser 9", "--tenant", "alpha", "--endpoint", "https://lims.example/", "--json")
    done = run(*words, "--serial", "SN9", "--idempotent", "--key-stdin", stdin=f"{SECRET}\n")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert SECRET not in done.output
    with tenant_session(lab.tenant_id) as session:
        row = equipment.get_equipment(session, lab.tenant_id, made["id"])
        connection = load_connections(session, lab.tenant_id)[made["id"]]
    assert (row.name, row.serial_number, row.is_idempotent) == ("Analyser 9", "SN9", True)
    assert (connection.endpoint, connection.keys) == ("https://lims.example", (SECRET,))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Analyser", "--tenant", "nowhere"), "tenant"),
        (("Analyzer", "--tenant", "alpha"), "name: another instrument has this name"),
        (("New", "--tenant", "alpha", "--endpoint", "http://10.0.0.1"), "api_endpoint"),
        (("New", "--tenant", "alpha", "--department", "Nowhere"), "department"),
        (("New", "--tenant", "alpha", "--timeout-seconds", "99"), "timeout_seconds"),
    ],
)
def test_the_command_line_says_in_a_line_what_is_wrong(lab: Lab, words: tuple[str, ...], said: str) -> None:
    done = run("instrument", "create", *words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.output
