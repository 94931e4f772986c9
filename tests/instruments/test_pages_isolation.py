"""Through no page about instruments does one laboratory reach another's rows."""

from typing import Any

import pytest
from sqlalchemy import text

from api import runs
from models.instruments.inputs import DepartmentInput, KeyInput
from models.instruments.stores.departments import create_department
from models.instruments.stores.equipment import add_key
from models.kernel.tenancy import tenant_session
from tests.api.helpers import audited
from tests.conftest import Database
from tests.instruments.desk import Desk, sit_down
from tests.instruments.helpers import TESTS, Lab, make_lab
from tests.instruments.test_pages import page_routes
from tests.instruments.test_routes_isolation import Deaf, snapshot

pytestmark = pytest.mark.api
TEST: dict[str, Any] = {
    name: str(value) for name, value in TESTS[0].model_dump(mode="json", exclude={"ranges"}).items() if value
}
FORMS: dict[str, dict[str, Any]] = {
    "/assignments/{assignment_id}/verify": {"version": 1},
    "/assignments/{assignment_id}/release": {"version": 1},
    "/assignments/{assignment_id}/resolve": {"outcome": "resend", "reason": "mine now"},
    "/assignments/{assignment_id}/instrument": {"equipment_id": 1},
    "/assignments/{assignment_id}/retest": {"reason": "mine now"},
    "/assignments/{assignment_id}/cancel": {"reason": "mine now"},
    "/assignments/{assignment_id}/comments": {"body": "mine"},
    "/assignments/{assignment_id}/result": {"value": "1", "unit": "g/dL"},
    "/assignments/{assignment_id}/correct": {"value": "1", "unit": "g/dL", "reason": "mine now", "version": 1},
    "/held/{held_id}/resolve": {"action": "discard", "reason": "mine now"},
    "/held/{held_id}/match": {"assignment_id": 1, "reason": "mine now"},
    "/instruments/{equipment_id}/edit": {"name": "Mine", "auth_header": "X-Key", "version": 1},
    "/instruments/{equipment_id}/keys": {"key": "0123456789"},
    "/departments/{department_id}": {"name": "Mine", "version": 1},
    "/catalogue/tests/{test_id}/edit": TEST | {"is_active": "true", "version": "1"},
    "/catalogue/panels/{panel_id}/edit": {"code": "CBC", "name": "Mine", "tests": "LAB-HGB", "version": "1"},
}


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_wishes", Deaf)


@pytest.fixture
def labs(database: Database) -> tuple[Lab, Lab]:
    return make_lab("alpha"), make_lab("beta")


@pytest.fixture
def theirs(labs: tuple[Lab, Lab]) -> dict[str, int]:
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


@pytest.fixture
def mine(labs: tuple[Lab, Lab], theirs: dict[str, int]) -> Desk:
    return sit_down(labs[0], "boss", "supervisor", "administrator", "doctor")


def refusals(lab: Lab) -> int:
    rows = audited(lab.tenant_id, "access.refused")
    return sum(row.changes["reason"] == "not of this tenant" for row in rows)


def test_every_page_with_an_id_of_another_laboratory_is_404_and_the_attempt_audited(
    labs: tuple[Lab, Lab], theirs: dict[str, int], mine: Desk
) -> None:
    before = snapshot(labs[1].tenant_id)
    tried = [(method, path) for method, path in page_routes() if "_id}" in path]
    assert len(tried) > 25
    for number, (method, path) in enumerate(tried, 1):
        address = path.format(**theirs)
        page = mine.get(address) if method == "GET" else mine.post(address, FORMS.get(path))
        assert (path, page.status) == (path, 404)
        assert "BETA-" not in page.source
        assert (path, refusals(labs[0])) == (path, number)
    assert snapshot(labs[1].tenant_id) == before
    assert audited(labs[1].tenant_id, "access.refused") == []


def test_an_id_of_another_laboratory_inside_a_form_reaches_no_further(
    labs: tuple[Lab, Lab], theirs: dict[str, int], mine: Desk
) -> None:
    before = snapshot(labs[1].tenant_id)
    (own,) = labs[0].order()
    order = {"what": "test:LAB-HGB", "sample_id": "S-1", "priority": "routine"}
    forms: list[tuple[str, dict[str, Any]]] = [
        ("/worklist/send", {"only": theirs["assignment_id"]}),
        ("/worklist/fetch", {"chosen": theirs["assignment_id"]}),
        ("/assignments/new", order | {"patient_id": theirs["patient_id"]}),
        ("/assignments/new", order | {"patient_id": labs[0].patient_id, "equipment_id": theirs["equipment_id"]}),
        (f"/assignments/{own}/instrument", {"equipment_id": theirs["equipment_id"]}),
        ("/stale/acknowledge", {"chosen": theirs["assignment_id"]}),
        ("/instruments/new", {"name": "N", "auth_header": "X-Key", "department_id": theirs["department_id"]}),
    ]
    for number, (address, form) in enumerate(forms, 1):
        assert (address, mine.post(address, form).status) == (address, 404)
        assert (address, refusals(labs[0])) == (address, number)
    for deed in ("verify", "release"):
        page = mine.post(f"/verification/{deed}", {"chosen": f"{theirs['assignment_id']}:1"})
        assert page.status == 409
        assert "BETA-" not in page.source
    assert refusals(labs[0]) == len(forms) + 2
    assert snapshot(labs[1].tenant_id) == before


def test_lists_and_searches_find_ones_own_laboratory_only(mine: Desk, theirs: dict[str, int]) -> None:
    for address in (
        *("/worklist", "/worklist?state=all", "/worklist?search=BETA", "/verification", "/held", "/stale"),
        *("/instruments", "/departments", "/catalogue", f"/worklist?instrument={theirs['equipment_id']}"),
    ):
        assert "BETA-" not in mine.get(address).source, address
    assert mine.get("/worklist/scan?code=BETA-SAMPLE").place == "/worklist"
    assert mine.get(f"/worklist/scan?code={theirs['assignment_id']}").place == "/worklist"
    found = mine.post("/assignments/new/patients", {"patient_text": "Ade"})
    assert len(found.of("input", name="patient_id")) == 1
