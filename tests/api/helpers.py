"""People and browsers for tests of the API and the pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import select
from starlette.testclient import TestClient

from api.app import create_app
from models.kernel.audit import SYSTEM
from models.kernel.tables import AuditEvent
from models.kernel.tenancy import tenant_session
from models.people import passwords
from models.people.schemas import TokenIn
from models.people.stores.tokens import issue_token
from models.people.tables import User

PASSWORD = "seven green bottles"
BASE = "http://127.0.0.1:8000"
PAGE = {"Accept": "text/html"}


@lru_cache(maxsize=2)
def _hashed(hasher: PasswordHasher) -> str:
    return hasher.hash(PASSWORD)


def make_user(tenant_id: int, email: str, *roles: str) -> int:
    """A user with the tests' password; technician when no role is named."""
    with tenant_session(tenant_id) as session:
        user = User(
            tenant_id=tenant_id,
            email=email,
            name=email.split("@")[0].title(),
            roles=list(roles or ("technician",)),
            password_hash=_hashed(passwords._hasher),
        )
        session.add(user)
        session.flush()
        return user.id


def make_token(tenant_id: int, user_id: int, *scopes: str) -> str:
    """An API token of this user; without scopes it may read and write."""
    with tenant_session(tenant_id) as session:
        given = TokenIn.model_validate({"name": "test", "scopes": list(scopes or ("read", "write"))})
        return issue_token(session, tenant_id, SYSTEM, user_id, given)[1]


@lru_cache(maxsize=1)
def app() -> FastAPI:
    """One application for all tests: it keeps nothing of its own, and making one takes a while."""
    return create_app()


def client(**options: Any) -> TestClient:
    """A browser that nobody has signed in with; redirects are not followed."""
    return TestClient(app(), base_url=BASE, follow_redirects=False, **options)


def signed_in(email: str, *, laboratory: str = "") -> TestClient:
    """A browser of this user, which sends its CSRF token by header."""
    browser = client()
    credentials = {"email": email, "password": PASSWORD, "laboratory": laboratory}
    answer = browser.post("/api/v1/sessions", json=credentials)
    assert answer.status_code == 201, answer.text
    browser.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
    return browser


def with_token(token: str) -> TestClient:
    """A program with this API token."""
    return client(headers={"Authorization": f"Bearer {token}"})


def audited(tenant_id: int, action: str) -> list[AuditEvent]:
    """The audit rows of this action, in order."""
    with tenant_session(tenant_id) as session:
        wanted = select(AuditEvent).where(AuditEvent.tenant_id == tenant_id, AuditEvent.action == action)
        return list(session.scalars(wanted.order_by(AuditEvent.id)))


@contextmanager
def as_tenant(tenant_id: int) -> Iterator[Any]:
    """A transaction of the tenant."""
    with tenant_session(tenant_id) as session:
        yield session
