"""The catalogue: previewing and applying files, and changing one test at a time."""

import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models.instruments.catalogue_files import parse_catalogue
from models.instruments.catalogue_inputs import PanelInput, TestInput
from models.instruments.inputs import DepartmentInput, EquipmentInput
from models.instruments.stores import catalogue, catalogue_import
from models.instruments.stores.departments import create_department
from models.instruments.stores.equipment import create_equipment
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.kernel.tables import AuditEvent
from models.kernel.tenancy import tenant_session
from tests.conftest import Database
from tests.instruments.helpers import Lab, make_lab
from tests.instruments.test_catalogue_files import CSV, DEMO, GOOD

pytestmark = pytest.mark.store


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


def demo_ready(lab: Lab) -> None:
    """The departments and instruments that the demo's catalogue names."""
    parsed = parse_catalogue(DEMO, "json")
    with tenant_session(lab.tenant_id) as session:
        for name in sorted({test.department or "" for test in parsed.tests.values()}):
            create_department(session, lab.tenant_id, lab.actor(), DepartmentInput(name=name))
        for name in sorted({test.equipment or "" for test in parsed.tests.values()}):
            create_equipment(session, lab.tenant_id, lab.actor(), EquipmentInput(name=name))


def preview(lab: Lab, content: bytes, format_: Any = "json") -> catalogue_import.Preview:
    with tenant_session(lab.tenant_id) as session:
        return catalogue_import.preview_catalogue(session, lab.tenant_id, content, format_)


def apply(lab: Lab, content: bytes, token: str, format_: Any = "json") -> catalogue_import.Preview:
    with tenant_session(lab.tenant_id) as session:
        return catalogue_import.apply_catalogue(session, lab.tenant_id, lab.actor(), content, format_, token=token)


def rows(lab: Lab, table: str) -> list[Any]:
    with tenant_session(lab.tenant_id) as session:
        return [tuple(row) for row in session.execute(text(f"SELECT * FROM {table} ORDER BY id"))]


def test_the_preview_says_what_applying_does_and_applying_again_does_nothing(lab: Lab) -> None:
    demo_ready(lab)
    planned = preview(lab, DEMO)
    assert planned.problems == []
    what = {(row.kind, row.code): row.what for row in planned.rows}
    assert what["test", "LAB-PLT"] == "new"
    assert what["test", "LAB-HGB"] == "changed"
    assert what["panel", "CBC"] == "changed"
    assert len(rows(lab, "test_definition")) == 4
    done = apply(lab, DEMO, planned.token)
    assert (done.count("new"), done.count("changed")) == (planned.count("new"), planned.count("changed"))
    tables = ("test_definition", "reference_range", "panel", "panel_test", "audit_event")
    before = {table: rows(lab, table) for table in tables}
    again = apply(lab, DEMO, planned.token)
    assert again.count("unchanged") == len(again.rows)
    assert {table: rows(lab, table) for table in tables} == before
    assert preview(lab, DEMO).count("unchanged") == len(planned.rows)


@pytest.mark.parametrize(
    ("wrong", "field"), [(GOOD | {"code": "Y", "department": "Nowhere"}, "department"), ({"code": "Y"}, "name")]
)
def test_an_import_with_a_problem_writes_nothing(lab: Lab, wrong: dict[str, Any], field: str) -> None:
    body = json.dumps({"tests": [GOOD, wrong], "panels": []}).encode()
    planned = preview(lab, body)
    assert (planned.problems[0].place, planned.problems[0].field) == ("tests[1]", field)
    with pytest.raises(InvalidError) as refused:
        apply(lab, body, planned.token)
    assert refused.value.field == "file"
    assert len(rows(lab, "test_definition")) == 4


def test_a_panel_names_tests_of_the_file_or_of_the_catalogue(lab: Lab) -> None:
    panel = {"code": "P", "name": "P", "tests": ["X", "LAB-HGB"]}
    assert preview(lab, json.dumps({"tests": [GOOD], "panels": [panel]}).encode()).problems == []
    found = preview(lab, json.dumps({"panels": [panel]}).encode()).problems
    assert [(one.place, one.field) for one in found] == [("panels[0]", "tests.0")]


def test_only_what_was_previewed_is_applied(lab: Lab) -> None:
    body, other = (json.dumps({"tests": [GOOD | {"name": name}]}).encode() for name in ("A", "B"))
    token = preview(lab, body).token
    with pytest.raises(InvalidError, match="not the file"):
        apply(lab, other, token)
    with tenant_session(lab.tenant_id) as session:  # somebody makes the same test meanwhile
        catalogue.create_test(session, lab.tenant_id, lab.actor(), TestInput.model_validate(GOOD))
    with pytest.raises(ConflictError, match="preview again"):
        apply(lab, body, token)


def test_csv_and_json_of_the_same_content_give_the_same_catalogue(lab: Lab) -> None:
    table = CSV.encode()
    apply(lab, table, preview(lab, table, "csv").token, "csv")
    tests = parse_catalogue(table, "csv").tests.values()
    body = json.dumps({"tests": [test.model_dump(mode="json") for test in tests]}).encode()
    assert preview(lab, body).count("unchanged") == 2


def test_a_changed_test_is_audited_with_what_changed(lab: Lab) -> None:
    with tenant_session(lab.tenant_id) as session:
        (row,) = [one for one in catalogue.list_tests(session, lab.tenant_id) if one.code == "LAB-HGB"]
        given = catalogue.inputs_of(session, lab.tenant_id, [row])[row.id]
        changed = given.model_copy(update={"panic_high": Decimal(21), "ranges": given.ranges[:1]})
        catalogue.update_test(session, lab.tenant_id, lab.actor(), row.id, changed)
        catalogue.update_test(session, lab.tenant_id, lab.actor(), row.id, changed)
        audit = session.query(AuditEvent).filter_by(action="test.update").all()
    (only,) = audit
    assert set(only.changes) == {"panic_high", "ranges", "version"}
    assert only.changes["version"] == [1, 2]
    assert only.changes["panic_high"] == ["20", "21"]


def test_codes_stay_and_are_unique(lab: Lab) -> None:
    with tenant_session(lab.tenant_id) as session:
        (row,) = [one for one in catalogue.list_tests(session, lab.tenant_id) if one.code == "LAB-HGB"]
        given = catalogue.inputs_of(session, lab.tenant_id, [row])[row.id]
        with pytest.raises(ConflictError):
            catalogue.create_test(session, lab.tenant_id, lab.actor(), given)
        other = given.model_copy(update={"code": "LAB-NEW"})
        with pytest.raises(InvalidError):
            catalogue.update_test(session, lab.tenant_id, lab.actor(), row.id, other)
        with pytest.raises(NotFoundError):
            catalogue.update_test(session, lab.tenant_id, lab.actor(), 99_999, given)
        panel = PanelInput(code="P", name="P", tests=["LAB-HGB", "LAB-ZZZ"])
        with pytest.raises(InvalidError) as refused:
            catalogue.save_panel(session, lab.tenant_id, lab.actor(), panel)
        assert refused.value.field == "tests.1"
