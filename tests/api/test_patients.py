import pytest
from starlette.testclient import TestClient

from tests.api.helpers import audited, make_user, signed_in

pytestmark = pytest.mark.api


@pytest.fixture
def boss(alpha: int) -> TestClient:
    make_user(alpha, "boss@alpha.org", "supervisor")
    return signed_in("boss@alpha.org")


def add(browser: TestClient, code: str, **given: object) -> dict[str, object]:
    answer = browser.post("/api/v1/patients", json={"code": code} | given)
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


def test_a_patient_is_registered_found_and_edited(alpha: int, boss: TestClient) -> None:
    made = add(boss, "P1", family_name="Lovelace", given_names="Ada", birth_date="1915-12-10", sex="female")
    found = boss.get("/api/v1/patients", params={"q": "love"}).json()
    assert (found["total"], found["items"][0]["code"]) == (1, "P1")
    edit = {"code": "P1", "family_name": "King", "version": made["version"]}
    edited = boss.put(f"/api/v1/patients/{made['id']}", json=edit)
    assert (edited.json()["family_name"], edited.json()["version"]) == ("King", 2)
    stale = boss.put(f"/api/v1/patients/{made['id']}", json=edit)
    assert stale.status_code == 409
    (row,) = audited(alpha, "patient.edit")
    assert row.changes["family_name"] == ["Lovelace", "King"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "code"),
        ({"code": "P\0"}, "code"),
        ({"code": "P1", "sex": "f"}, "sex"),
        ({"code": "P1", "birth_date": "1990-02-31"}, "birth_date"),
        ({"code": "P1", "birth_date": "31.01.1990"}, "birth_date"),
        ({"code": "P1", "birth_date": "2999-01-01"}, "birth_date"),
        ({"code": "P1", "birth_date": 5}, "birth_date"),
        ({"code": "P1", "email": "a@b\r\nBcc: c@d.org"}, "email"),
        ({"code": "P1", "family_name": "x" * 201}, "family_name"),
        ({"code": "P1", "famly_name": "x"}, "famly_name"),
        ([], "body"),
    ],
)
def test_a_bad_patient_is_refused_by_the_fields_name(boss: TestClient, given: object, field: str) -> None:
    answer = boss.post("/api/v1/patients", json=given)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["fields"]] == [field]
    assert boss.get("/api/v1/patients").json()["total"] == 0


@pytest.mark.parametrize("number", ["0", "-1", "9223372036854775808", "99999999999999999999999", "x", "1.5"])
def test_an_impossible_number_is_422(boss: TestClient, number: str) -> None:
    assert boss.get(f"/api/v1/patients/{number}").status_code == 422


def test_the_largest_number_is_404(boss: TestClient) -> None:
    assert boss.get(f"/api/v1/patients/{2**63 - 1}").status_code == 404


@pytest.mark.parametrize("query", ["page=0", "size=101", "page=99999999999999999999", "q=a%00b"])
def test_a_bad_search_is_refused(boss: TestClient, query: str) -> None:
    assert boss.get(f"/api/v1/patients?{query}").status_code in (400, 422)


def test_somebody_unidentified_needs_only_a_code(boss: TestClient) -> None:
    assert add(boss, "ER-1")["family_name"] == ""


@pytest.mark.parametrize(
    ("role", "reads", "writes", "merges"),
    [
        ("technician", 200, 201, 403),
        ("radiology_technician", 200, 201, 403),
        ("verifier", 200, 403, 403),
        ("doctor", 200, 403, 403),
        ("supervisor", 200, 201, 404),
        ("administrator", 403, 403, 403),
    ],
)
def test_who_may_do_what_to_patients(alpha: int, role: str, reads: int, writes: int, merges: int) -> None:
    make_user(alpha, "ada@alpha.org", role)
    ada = signed_in("ada@alpha.org")
    assert ada.get("/api/v1/patients").status_code == reads
    assert ada.post("/api/v1/patients", json={"code": "P1"}).status_code == writes
    given = {"merged_id": 8, "version": 1, "merged_version": 1}
    assert ada.post("/api/v1/patients/9/merge", json=given).status_code == merges
    expected = 404 if role in ("supervisor", "administrator") else 403
    assert ada.get("/api/v1/patients/9/access-log").status_code == expected


def test_every_reading_is_noted_and_listed(alpha: int, boss: TestClient) -> None:
    make_user(alpha, "doc@alpha.org", "doctor")
    one, two = add(boss, "P1"), add(boss, "P2")
    doctor = signed_in("doc@alpha.org")
    doctor.get(f"/api/v1/patients/{one['id']}")
    doctor.get("/api/v1/patients", params={"q": "P"})
    doctor.get("/api/v1/patients", params={"code": "P2"})
    log = boss.get(f"/api/v1/patients/{one['id']}/access-log").json()
    assert [row["actor_label"] for row in log["items"]] == ["doc@alpha.org"] * 2
    assert boss.get(f"/api/v1/patients/{two['id']}/access-log").json()["total"] == 2
    again = boss.get(f"/api/v1/patients/{one['id']}/access-log").json()
    assert again["items"][0]["action"] == "patient.access_log"  # asking is noted as well
    assert all(row.session_id and row.ip_address for row in audited(alpha, "patient.read"))


def test_a_reading_that_finds_nothing_notes_nothing(alpha: int, boss: TestClient) -> None:
    assert boss.get("/api/v1/patients/77").status_code == 404
    assert audited(alpha, "patient.read") == []


def test_a_merge_moves_rows_and_is_audited_on_both_sides(alpha: int, boss: TestClient) -> None:
    kept, gone = add(boss, "P1"), add(boss, "P2")
    boss.post(f"/api/v1/patients/{gone['id']}/identifiers", json={"system": "national-id", "value": "77"})
    given = {"merged_id": gone["id"], "version": 1, "merged_version": 1}
    answer = boss.post(f"/api/v1/patients/{kept['id']}/merge", json=given)
    assert answer.json()["moved"]["patient_identifier"] == 1
    detail = boss.get(f"/api/v1/patients/{kept['id']}").json()
    assert detail["merged_codes"] == ["P2"]
    assert detail["identifiers"][0]["value"] == "77"
    assert boss.get(f"/api/v1/patients/{gone['id']}").json()["merged_into_id"] == kept["id"]
    assert boss.get("/api/v1/patients", params={"code": "P2"}).json()["items"][0]["id"] == kept["id"]
    assert [row.resource_id for row in audited(alpha, "patient.merge")] == [str(kept["id"])]
    assert [row.resource_id for row in audited(alpha, "patient.merged")] == [str(gone["id"])]
    assert boss.post(f"/api/v1/patients/{kept['id']}/merge", json=given).status_code == 409
    itself = {"merged_id": kept["id"], "version": 2, "merged_version": 2}
    assert boss.post(f"/api/v1/patients/{kept['id']}/merge", json=itself).status_code == 422


def test_identifiers_are_added_and_removed(alpha: int, boss: TestClient) -> None:
    one, two = add(boss, "P1"), add(boss, "P2")
    given = {"system": "insurance", "value": "I-1"}
    made = boss.post(f"/api/v1/patients/{one['id']}/identifiers", json=given)
    assert made.status_code == 201
    taken = boss.post(f"/api/v1/patients/{two['id']}/identifiers", json=given)
    assert (taken.status_code, taken.json()["success"]) == (409, False)
    address = f"/api/v1/patients/{one['id']}/identifiers/{made.json()['id']}"
    assert boss.delete(address).status_code == 204
    assert boss.delete(address).status_code == 404
    row = audited(alpha, "patient.identifier_add")[0]
    assert "I-1" not in str(row.changes)
