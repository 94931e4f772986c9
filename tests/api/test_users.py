import pytest
from starlette.testclient import TestClient

from tests.api.helpers import audited, client, make_token, make_user, signed_in, with_token

pytestmark = pytest.mark.api


@pytest.fixture
def admin(alpha: int) -> TestClient:
    make_user(alpha, "admin@alpha.org", "administrator")
    return signed_in("admin@alpha.org")


def test_users_are_created_listed_and_edited(alpha: int, admin: TestClient) -> None:
    given = {"email": "ada@alpha.org", "name": "Ada", "roles": ["technician", "verifier"]}
    made = admin.post("/api/v1/users", json=given)
    assert made.status_code == 201
    user_id = made.json()["id"]
    assert {row["email"] for row in admin.get("/api/v1/users").json()} == {"admin@alpha.org", "ada@alpha.org"}
    edited = admin.patch(f"/api/v1/users/{user_id}", json={"roles": ["doctor"]})
    assert (edited.json()["roles"], edited.json()["name"]) == (["doctor"], "Ada")
    (row,) = audited(alpha, "user.edit")
    assert row.changes == {"roles": [["technician", "verifier"], ["doctor"]]}
    again = admin.post("/api/v1/users", json=given)
    assert again.status_code == 409


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"email": "nobody", "name": "A", "roles": ["doctor"]}, "email"),
        ({"email": "a@b.org", "name": "", "roles": ["doctor"]}, "name"),
        ({"email": "a@b.org", "name": "A\0", "roles": ["doctor"]}, "name"),
        ({"email": "a@b.org", "name": "A", "roles": ["king"]}, "roles.0"),
        ({"email": "a@b.org", "name": "A", "roles": []}, "roles"),
        ({"email": "a@b.org", "name": "A", "roles": ["doctor"], "rolse": 1}, "rolse"),
        ({"email": "a@b.org", "roles": ["doctor"]}, "name"),
    ],
)
def test_a_bad_user_is_refused_by_the_fields_name(admin: TestClient, given: dict[str, object], field: str) -> None:
    answer = admin.post("/api/v1/users", json=given)
    assert answer.status_code == 422
    body = answer.json()
    assert body["success"] is False
    assert [one["field"] for one in body["fields"]] == [field]


@pytest.mark.parametrize("role", ["technician", "verifier", "doctor", "radiology_technician", "supervisor"])
def test_only_an_administrator_sees_users(alpha: int, role: str) -> None:
    make_user(alpha, "ada@alpha.org", role)
    ada = signed_in("ada@alpha.org")
    assert ada.get("/api/v1/users").status_code == 403
    assert ada.get("/users", headers={"Accept": "text/html"}).status_code == 403
    assert {row.changes["reason"] for row in audited(alpha, "access.refused")} == {"role or scope"}


def test_a_change_of_roles_counts_from_the_next_request(alpha: int, admin: TestClient) -> None:
    user_id = make_user(alpha, "ada@alpha.org", "technician")
    ada = signed_in("ada@alpha.org")
    assert ada.get("/api/v1/patients").status_code == 200
    admin.patch(f"/api/v1/users/{user_id}", json={"roles": ["administrator"]})
    assert ada.get("/api/v1/patients").status_code == 403
    assert ada.get("/api/v1/users").status_code == 200


def test_disabling_ends_sessions_and_refuses_tokens_at_once(alpha: int, admin: TestClient) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    ada, program = signed_in("ada@alpha.org"), with_token(make_token(alpha, user_id))
    assert admin.post(f"/api/v1/users/{user_id}/disable").json()["is_active"] is False
    assert ada.get("/api/v1/me").status_code == 401
    assert program.get("/api/v1/me").status_code == 401
    credentials = {"email": "ada@alpha.org", "password": "seven green bottles"}
    assert client().post("/api/v1/sessions", json=credentials).status_code == 401
    admin.post(f"/api/v1/users/{user_id}/enable")
    assert ada.get("/api/v1/me").status_code == 401  # its session does not come back
    assert client().post("/api/v1/sessions", json=credentials).status_code == 201


def test_an_administrator_does_not_lock_everybody_out(alpha: int, admin: TestClient) -> None:
    own = admin.get("/api/v1/me").json()["user_id"]
    assert admin.post(f"/api/v1/users/{own}/disable").status_code == 409
    assert admin.patch(f"/api/v1/users/{own}", json={"roles": ["doctor"]}).status_code == 409
    assert admin.get("/api/v1/users").status_code == 200


def test_an_administrator_lists_and_ends_the_sessions_of_others(alpha: int, admin: TestClient) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    ada = signed_in("ada@alpha.org")
    (row,) = admin.get(f"/api/v1/users/{user_id}/sessions").json()
    assert admin.delete(f"/api/v1/users/{user_id}/sessions/{row['id']}").status_code == 204
    assert ada.get("/api/v1/me").status_code == 401


def test_an_administrator_lifts_a_lock_out(alpha: int, admin: TestClient) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    browser = client()
    for _ in range(5):
        browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": "wrong"})
    assert admin.get(f"/api/v1/users/{user_id}").json()["locked_until"] is not None
    assert admin.post(f"/api/v1/users/{user_id}/enable").json()["locked_until"] is None
    signed_in("ada@alpha.org")
