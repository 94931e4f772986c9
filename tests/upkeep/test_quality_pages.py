"""Data Docs on pages and in the JSON API: for the staff of their tenant alone."""

import json
import re

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from models.kernel.errors import NotFoundError
from models.kernel.tenancy import owner_session, tenant_session
from models.upkeep.quality import get_check
from tests.api.helpers import PAGE, audited, client, make_token, make_user, signed_in, with_token
from tests.conftest import Database
from tests.factories import make_tenant
from tests.upkeep.quality import RUN, found, keep

pytestmark = pytest.mark.api
READERS = {"supervisor", "verifier", "administrator"}


@pytest.fixture
def north(database: Database) -> int:
    tenant = make_tenant("north")
    for role in (*READERS, "technician", "doctor"):
        make_user(tenant, f"{role}@north.org", role)
    return tenant


@pytest.fixture
def boss(north: int) -> TestClient:
    return signed_in("supervisor@north.org")


def test_the_newest_checks_come_first_and_say_what_was_not_met(north: int, boss: TestClient) -> None:
    good, bad = keep(north, found(), found(2))
    shown = boss.get("/quality", headers=PAGE).text
    assert re.findall(r'href="/quality/(\d+)"', shown) == [str(bad), str(good)]
    assert "1 of 2 not met" in shown
    assert "all 2 met" in shown
    assert "Instrument results" in shown
    only = boss.get("/quality?which=not-met", headers=PAGE).text
    assert re.findall(r'href="/quality/(\d+)"', only) == [str(bad)]
    assert f"/runs/flow-run/{RUN.id}" in shown


def test_an_empty_history_and_long_ones_have_their_pages(north: int, boss: TestClient) -> None:
    assert "Nothing has been checked yet" in boss.get("/quality", headers=PAGE).text
    keep(north, *(found() for _ in range(51)), found(suite="vitals"))
    assert "Every kept check met all expectations" in boss.get("/quality?which=not-met", headers=PAGE).text
    assert "1–50 of 52" in boss.get("/quality", headers=PAGE).text
    second = boss.get("/quality?page=2", headers=PAGE).text
    assert len(re.findall(r'href="/quality/\d+"', second)) == 2
    chosen = boss.get("/quality?suite=vitals", headers=PAGE).text
    assert len(re.findall(r'href="/quality/\d+"', chosen)) == 1


def test_one_check_names_the_rows_that_failed_and_leads_to_them(north: int, boss: TestClient) -> None:
    [check] = keep(north, found(60, rows=90))
    shown = boss.get(f"/quality/{check}", headers=PAGE).text
    assert "There is a value" in shown
    assert 'href="/assignments/101"' in shown
    assert 'href="/instruments/7"' in shown
    assert "and 10 more" in shown
    assert 'href="/held"' in shown
    assert shown.index("There is a value") < shown.index("expect_column_values_to_be_between")  # not met comes first
    administrators = signed_in("administrator@north.org").get(f"/quality/{check}", headers=PAGE).text
    assert "Assignments 101, 102," in administrators
    assert 'href="/assignments/101"' not in administrators  # their role does not open it
    verifiers = signed_in("verifier@north.org").get(f"/quality/{check}", headers=PAGE).text
    assert "/runs/flow-run/" not in verifiers


def test_the_api_says_the_same(north: int, boss: TestClient) -> None:
    good, bad = keep(north, found(), found(2))
    answer = boss.get("/api/v1/quality-checks", params={"size": 1}).json()
    assert ([one["id"] for one in answer["items"]], answer["total"]) == ([bad], 2)
    assert boss.get("/api/v1/quality-checks", params={"is_met": True}).json()["items"][0]["id"] == good
    one = boss.get(f"/api/v1/quality-checks/{bad}").json()
    assert (one["rows"], one["failed_rows"], one["failed_expectations"]) == (3, 2, 1)
    first, second = one["details"]
    assert first["failed"] == [
        {"message_id": 1, "assignment_id": 101, "equipment_id": 7},
        {"message_id": 2, "assignment_id": 102, "equipment_id": 7},
    ]
    assert (second["is_met"], second["rows"]) == (True, 2)  # one row had nothing to look at


def test_only_roles_that_need_it_and_nobody_from_outside(north: int) -> None:
    [check] = keep(north, found(1))
    for address in ("/quality", f"/quality/{check}"):
        for role in (*READERS, "technician", "doctor"):
            answer = signed_in(f"{role}@north.org").get(address, headers=PAGE)
            assert (answer.status_code == 200) == (role in READERS), role
        assert client().get(address, headers=PAGE).headers["location"].startswith("/login")
    assert len(audited(north, "access.refused")) == 4
    assert client().get(f"/api/v1/quality-checks/{check}").status_code == 401
    token = make_token(north, make_user(north, "tina@north.org", "technician"))
    assert with_token(token).get("/api/v1/quality-checks").status_code == 403
    assert 'href="/quality"' not in signed_in("technician@north.org").get("/worklist", headers=PAGE).text
    assert 'href="/quality"' in signed_in("verifier@north.org").get("/worklist", headers=PAGE).text


def test_another_tenants_check_is_not_there_and_asking_is_audited(north: int, boss: TestClient) -> None:
    south = make_tenant("south")
    make_user(south, "boss@south.org", "supervisor")
    [theirs] = keep(south, found(1))
    for address in (f"/quality/{theirs}", f"/api/v1/quality-checks/{theirs}"):
        assert boss.get(address, headers=PAGE).status_code == 404
    refused = audited(north, "access.refused")
    assert [(one.resource_type, one.resource_id) for one in refused] == [("quality_check", str(theirs))] * 2
    assert audited(south, "access.refused") == []
    assert boss.get("/api/v1/quality-checks").json()["total"] == 0
    assert "Nothing has been checked yet" in boss.get("/quality", headers=PAGE).text
    assert signed_in("boss@south.org").get(f"/quality/{theirs}", headers=PAGE).status_code == 200
    assert boss.get("/quality/999999", headers=PAGE).status_code == 404
    assert len(audited(north, "access.refused")) == 2  # what is nowhere is nobody's


@pytest.mark.parametrize(
    "address", ["/quality/..%2F1", "/quality/%2e%2e/%2e%2e/environment", "/quality/0", "/quality/x"]
)
def test_no_address_leads_out_of_it(north: int, boss: TestClient, address: str) -> None:
    keep(north, found(1))
    assert boss.get(address, headers=PAGE).status_code in (404, 422)


@pytest.mark.store
def test_the_database_itself_keeps_tenants_apart(north: int) -> None:
    south = make_tenant("south")
    [theirs] = keep(south, found(1))
    with pytest.raises(NotFoundError), tenant_session(north) as session:
        get_check(session, south, theirs)
    with tenant_session(north) as session:
        assert session.scalar(text("SELECT count(*) FROM quality_check")) == 0
        session.execute(text("DELETE FROM quality_check"))
    with owner_session() as session:
        assert session.scalar(text("SELECT count(*) FROM quality_check")) == 1


def test_text_in_a_result_is_shown_as_text(north: int, boss: TestClient) -> None:
    bad = found(1)
    bad.result["results"][1]["expectation_config"]["description"] = "<script>alert(1)</script>"
    [check] = keep(north, bad)
    shown = boss.get(f"/quality/{check}", headers=PAGE).text
    assert "<script>alert" not in shown
    assert "&lt;script&gt;" in shown
    assert "alert(1)" in json.dumps(boss.get(f"/api/v1/quality-checks/{check}").json())
