from datetime import timedelta

import pytest
from sqlalchemy import select, update

from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from models.people.tables import ApiToken, User
from tests.api.helpers import audited, make_token, make_user, signed_in, with_token

pytestmark = pytest.mark.api


def test_a_token_is_shown_once_and_kept_as_a_hash(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    ada = signed_in("ada@alpha.org")
    made = ada.post("/api/v1/tokens", json={"name": "import", "scopes": ["read"]})
    assert made.status_code == 201
    token = made.json()["token"]
    assert token.startswith(made.json()["prefix"])
    assert token not in ada.get("/api/v1/tokens").text
    with tenant_session(alpha) as session:
        row = session.scalars(select(ApiToken)).one()
    assert token.encode() not in row.token_hash
    assert with_token(token).get("/api/v1/me").json()["scopes"] == ["read"]


def test_a_token_needs_no_csrf_token_and_is_not_mixed_with_a_cookie(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org", "technician")
    token = make_token(alpha, user_id)
    assert with_token(token).post("/api/v1/patients", json={"code": "P1"}).status_code == 201
    browser = signed_in("ada@alpha.org")
    browser.headers["Authorization"] = "Bearer lw_api_wrong"
    assert browser.get("/api/v1/me").status_code == 401
    browser.headers["Authorization"] = "Basic YTpi"
    assert browser.get("/api/v1/me").status_code == 401


def test_a_scope_bounds_what_a_token_does(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org", "technician")
    reader = with_token(make_token(alpha, user_id, "patients:read"))
    assert reader.get("/api/v1/patients").status_code == 200
    assert reader.post("/api/v1/patients", json={"code": "P1"}).status_code == 403
    assert with_token(make_token(alpha, user_id, "assignments:read")).get("/api/v1/patients").status_code == 403
    assert [row.resource_id for row in audited(alpha, "access.refused")] == ["/api/v1/patients"] * 2


def test_a_token_never_has_more_rights_than_its_users_roles_have_now(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org", "technician")
    program = with_token(make_token(alpha, user_id, "read", "write", "people:read", "people:write"))
    assert program.get("/api/v1/patients").status_code == 200
    assert program.get("/api/v1/users").status_code == 403
    with tenant_session(alpha) as session:
        session.execute(update(User).where(User.id == user_id).values(roles=["administrator"]))
    assert program.get("/api/v1/patients").status_code == 403
    assert program.get("/api/v1/users").status_code == 200


def test_a_token_makes_no_tokens_and_changes_no_password(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org", "administrator")
    program = with_token(make_token(alpha, user_id, "read", "write", "people:read", "people:write"))
    assert program.post("/api/v1/tokens", json={"name": "more", "scopes": ["read"]}).status_code == 403
    assert program.get("/api/v1/sessions").status_code == 403
    change = {"present": "seven green bottles", "password": "eight red bottles"}
    assert program.put("/api/v1/me/password", json=change).status_code == 403
    assert program.post("/api/v1/instruments/1/push-keys", json={}).status_code == 403


def test_a_revoked_or_expired_token_or_that_of_a_disabled_user_is_refused_at_once(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    ada = signed_in("ada@alpha.org")
    first = ada.post("/api/v1/tokens", json={"name": "one", "scopes": ["read"]}).json()
    program = with_token(first["token"])
    assert program.get("/api/v1/me").status_code == 200
    assert ada.delete(f"/api/v1/tokens/{first['id']}").status_code == 204
    assert program.get("/api/v1/me").status_code == 401
    assert ada.delete(f"/api/v1/tokens/{first['id']}").status_code == 404

    expired = with_token(make_token(alpha, user_id))
    with tenant_session(alpha) as session:
        session.execute(update(ApiToken).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert expired.get("/api/v1/me").status_code == 401

    orphan = with_token(make_token(alpha, user_id))
    assert orphan.get("/api/v1/me").status_code == 200
    with tenant_session(alpha) as session:
        session.execute(update(User).where(User.id == user_id).values(is_active=False))
    assert orphan.get("/api/v1/me").status_code == 401


def test_nobody_revokes_anothers_token_but_an_administrator(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    make_user(alpha, "grace@alpha.org")
    make_user(alpha, "admin@alpha.org", "administrator")
    program = with_token(make_token(alpha, user_id))
    with tenant_session(alpha) as session:
        token_id = session.scalars(select(ApiToken.id)).one()
    assert signed_in("grace@alpha.org").delete(f"/api/v1/tokens/{token_id}").status_code == 404
    admin = signed_in("admin@alpha.org")
    assert [row["id"] for row in admin.get(f"/api/v1/users/{user_id}/tokens").json()] == [token_id]
    assert admin.delete(f"/api/v1/users/{user_id}/tokens/{token_id}").status_code == 204
    assert program.get("/api/v1/me").status_code == 401


def test_nobody_grants_themselves_the_right_of_a_push_key(alpha: int) -> None:
    make_user(alpha, "admin@alpha.org", "administrator")
    admin = signed_in("admin@alpha.org")
    assert admin.post("/api/v1/tokens", json={"name": "x", "scopes": ["results:push"]}).status_code == 422


def test_the_use_of_a_token_is_noted(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    program = with_token(make_token(alpha, user_id))
    program.get("/api/v1/me")
    with tenant_session(alpha) as session:
        used = session.scalars(select(ApiToken.last_used_at)).one()
    assert used is not None
    assert utc_now() - used < timedelta(minutes=1)


def test_the_audit_trail_tells_a_token_from_a_session(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    with_token(make_token(alpha, user_id)).post("/api/v1/patients", json={"code": "P1"})
    signed_in("ada@alpha.org").post("/api/v1/patients", json={"code": "P2"})
    by_token, by_person = audited(alpha, "patient.create")
    assert str(by_token.session_id).startswith("token:")
    assert str(by_person.session_id).isdigit()
    assert (by_token.actor_kind, by_token.actor_id) == ("user", str(user_id))
