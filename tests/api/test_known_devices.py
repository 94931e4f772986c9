"""Nobody is shut out by a stranger's guesses: a browser they signed in with before still lets them in."""

import pytest
from starlette.testclient import TestClient

from models.kernel.settings import settings
from models.kernel.tenancy import registry_session, tenant_session
from models.people.stores import logins
from tests.api.helpers import PASSWORD, audited, client, make_user, signed_in

pytestmark = pytest.mark.api
COOKIE = "labwire_known"


@pytest.fixture
def ada(alpha: int) -> TestClient:
    """A browser in which Ada has signed in, and out again."""
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    browser.delete("/api/v1/sessions/current")
    assert browser.get("/api/v1/me").status_code == 401
    return browser


def sign_in(browser: TestClient, password: str = PASSWORD, email: str = "ada@alpha.org") -> int:
    return int(browser.post("/api/v1/sessions", json={"email": email, "password": password}).status_code)


def lock_out(email: str = "ada@alpha.org") -> None:
    """What anybody who knows an address can do."""
    stranger = client()
    for _ in range(settings().login_attempts):
        assert sign_in(stranger, "not the password", email) == 401
    assert sign_in(client(), email=email) == 401


def test_a_stranger_locks_the_account_for_strangers_alone(ada: TestClient, alpha: int) -> None:
    lock_out()
    assert sign_in(ada) == 201
    assert len(audited(alpha, "login.lock")) == 1
    assert sign_in(client()) == 201  # the right password has lifted the lock


def test_a_known_browser_has_as_many_guesses_again_and_no_more(ada: TestClient, alpha: int) -> None:
    lock_out()
    for _ in range(settings().login_attempts):
        assert sign_in(ada, "not the password") == 401
    assert sign_in(ada) == 401
    assert len(audited(alpha, "login.lock")) == 1


def test_a_browser_is_known_for_those_who_signed_in_with_it(ada: TestClient, alpha: int) -> None:
    make_user(alpha, "tess@alpha.org")
    lock_out("tess@alpha.org")
    assert sign_in(ada, email="tess@alpha.org") == 401
    shared = signed_in("ada@alpha.org")
    make_user(alpha, "bob@alpha.org")
    assert sign_in(shared, email="bob@alpha.org") == 201
    for email in ("ada@alpha.org", "bob@alpha.org"):
        lock_out(email)
        assert sign_in(shared, email=email) == 201


@pytest.mark.parametrize("change", [lambda value: value[::-1], lambda _: "x" * 4000, lambda _: "é.."])
def test_a_forged_cookie_opens_nothing(ada: TestClient, change: object) -> None:
    lock_out()
    forged = change(ada.cookies[COOKIE])  # type: ignore[operator]
    stranger = client(headers={"Cookie": f"{COOKIE}={forged}".encode("latin-1")})
    assert sign_in(stranger) == 401


def test_guesses_in_one_period_are_bounded_whoever_makes_them(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    with registry_session() as session:
        [one] = logins.candidates(session, "ada@alpha.org")
    allowed = 0
    for number in range(40):
        with tenant_session(alpha) as session:
            allowed += logins.reserve(session, one, is_known=number % 3 > 0) is not None
    assert allowed == 2 * settings().login_attempts
