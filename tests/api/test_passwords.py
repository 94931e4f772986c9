import re
import time
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from api.people.links import EVEN_SECONDS
from models.kernel.clock import utc_now
from models.kernel.mail import open_secrets
from models.kernel.tables import Delivery, OutboxEvent
from models.kernel.tenancy import tenant_session
from models.people.tables import PasswordReset
from tests.api.helpers import PAGE, PASSWORD, client, make_user, signed_in

pytestmark = pytest.mark.api
NEW = "eight red bottles"


def mails(tenant_id: int) -> list[OutboxEvent]:
    with tenant_session(tenant_id) as session:
        rows = session.execute(
            select(OutboxEvent, Delivery.destination).join(Delivery, Delivery.event_id == OutboxEvent.id)
        ).all()
    assert all(row.destination == "mail" for row in rows)
    return [row.OutboxEvent for row in rows]


def token_mailed(tenant_id: int) -> str:
    return open_secrets(tenant_id, mails(tenant_id)[-1].payload["sealed"])["link"].rsplit("/", 1)[1]


def ask(browser: TestClient, email: str) -> int:
    status: int = browser.post("/api/v1/password-links", json={"email": email}).status_code
    return status


def use(browser: TestClient, token: str, password: str = NEW) -> int:
    status: int = browser.post("/api/v1/password-links/use", json={"token": token, "password": password}).status_code
    return status


def test_a_link_is_mailed_through_the_outbox_and_works_once(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    before = signed_in("ada@alpha.org")
    browser = client()
    assert ask(browser, "ada@alpha.org") == 202
    (mail,) = mails(alpha)
    assert mail.payload["template"] == "password_reset"
    assert mail.payload["to"] == ["ada@alpha.org"]
    assert set(mail.payload["context"]) == {"name", "minutes", "laboratory"}
    token = token_mailed(alpha)
    assert token not in str(mail.payload)  # what lies in the outbox opens no account
    assert use(browser, token) == 204
    assert use(browser, token, "nine blue bottles") == 404
    assert before.get("/api/v1/me").status_code == 401  # every session ended
    assert browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": NEW}).status_code == 201


def test_the_answer_does_not_tell_whether_the_address_exists(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = client()
    answers, seconds = [], []
    for email in ("ada@alpha.org", "nobody@alpha.org"):
        started = time.perf_counter()
        answers.append(browser.post("/api/v1/password-links", json={"email": email}))
        seconds.append(time.perf_counter() - started)
    assert answers[0].content == answers[1].content
    assert answers[0].status_code == answers[1].status_code == 202
    assert min(seconds) >= EVEN_SECONDS  # far more than either needs
    assert len(mails(alpha)) == 1


def test_a_link_expires_and_is_worthless_for_a_disabled_user(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    make_user(alpha, "admin@alpha.org", "administrator")
    browser = client()
    ask(browser, "ada@alpha.org")
    token = token_mailed(alpha)
    with tenant_session(alpha) as session:
        row = session.scalars(select(PasswordReset)).one()
        assert timedelta(minutes=29) < row.expires_at - utc_now() <= timedelta(minutes=30)
    signed_in("admin@alpha.org").post(f"/api/v1/users/{user_id}/disable")
    assert use(browser, token) == 404
    assert ask(browser, "ada@alpha.org") == 202
    assert len(mails(alpha)) == 1  # nothing is mailed to somebody disabled
    signed_in("admin@alpha.org").post(f"/api/v1/users/{user_id}/enable")
    with tenant_session(alpha) as session:
        session.execute(update(PasswordReset).values(expires_at=utc_now()))
    assert use(browser, token) == 404


def test_using_one_link_uses_all_up(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = client()
    ask(browser, "ada@alpha.org")
    first = token_mailed(alpha)
    ask(browser, "ada@alpha.org")
    assert use(browser, token_mailed(alpha)) == 204
    assert use(browser, first) == 404


def test_a_mailbox_is_not_flooded(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = client()
    assert [ask(browser, "ada@alpha.org") for _ in range(5)] == [202] * 5
    assert len(mails(alpha)) == 3


def test_a_weak_password_leaves_the_link_good(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = client()
    ask(browser, "ada@alpha.org")
    token = token_mailed(alpha)
    assert use(browser, token, "short") == 422
    assert use(browser, token) == 204


def test_a_new_link_lifts_a_lock_out(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = client()
    for _ in range(5):
        browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": "wrong"})
    ask(browser, "ada@alpha.org")
    use(browser, token_mailed(alpha))
    assert browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": NEW}).status_code == 201


@pytest.mark.parametrize("token", ["lw_reset_nothing", "x" * 200])
def test_an_unknown_link_is_404(alpha: int, token: str) -> None:
    assert use(client(), token) == 404
    assert client().get(f"/reset/{token}", headers=PAGE).status_code == 404


def test_the_pages_of_a_forgotten_password(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = client(headers=PAGE)

    def form_token(text: str) -> str:
        found = re.search(r'name="csrf_token" value="(\w+)"', text)
        assert found
        return found[1]

    token = form_token(browser.get("/forgot").text)
    known = browser.post("/forgot", data={"email": "ada@alpha.org", "csrf_token": token})
    unknown = browser.post("/forgot", data={"email": "nobody@alpha.org", "csrf_token": token})
    assert known.status_code == unknown.status_code == 200
    assert known.text == unknown.text
    address = f"/reset/{token_mailed(alpha)}"
    assert "ada@alpha.org" in browser.get(address).text
    assert "ada@alpha.org" in browser.get(address).text  # looking at it does not use it up
    differing = {"password": NEW, "password_again": "other", "csrf_token": token}
    assert browser.post(address, data=differing).status_code == 422
    done = browser.post(address, data={"password": NEW, "password_again": NEW, "csrf_token": token})
    assert (done.status_code, done.headers["location"]) == (303, "/login")
    assert "Your password is set" in browser.get("/login").text
    assert "Your password is set" not in browser.get("/login").text  # said once
    assert browser.get(address).status_code == 404


def test_somebody_invited_has_no_password_until_they_set_one(alpha: int) -> None:
    make_user(alpha, "admin@alpha.org", "administrator")
    admin = signed_in("admin@alpha.org")
    made = admin.post("/api/v1/users", json={"email": "New@alpha.org", "name": "New", "roles": ["doctor"]})
    assert made.status_code == 201
    assert mails(alpha)[0].payload["template"] == "user_invited"
    browser = client()
    assert browser.post("/api/v1/sessions", json={"email": "new@alpha.org", "password": PASSWORD}).status_code == 401
    assert use(browser, token_mailed(alpha)) == 204
    assert browser.post("/api/v1/sessions", json={"email": "new@alpha.org", "password": NEW}).status_code == 201
