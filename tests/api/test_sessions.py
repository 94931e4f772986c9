from datetime import timedelta

import pytest
from sqlalchemy import select, update

from models.kernel.clock import utc_now
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from models.people.tables import User, UserSession
from tests.api.helpers import PASSWORD, audited, client, make_user, signed_in

pytestmark = pytest.mark.api


def age(tenant_id: int, **values: object) -> None:
    with tenant_session(tenant_id) as session:
        session.execute(update(UserSession).where(UserSession.tenant_id == tenant_id).values(**values))


def test_without_credentials_the_answer_is_401(alpha: int) -> None:
    answer = client().get("/api/v1/me")
    assert answer.status_code == 401
    assert answer.json() == {"success": False, "error": "sign in, or send a token"}
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_sign_in_gives_a_cookie_no_script_reads_and_no_token_is_kept(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = client()
    answer = browser.post("/api/v1/sessions", json={"email": " ADA@alpha.org", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie  # the pages are reached by plain HTTP here
    token = browser.cookies["labwire_session"]
    with tenant_session(alpha) as session:
        kept = session.scalars(select(UserSession)).one()
    assert token.encode() not in kept.token_hash
    assert browser.get("/api/v1/me").json()["email"] == "ada@alpha.org"


def test_the_cookie_is_secure_where_pages_are_reached_by_https(alpha: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make_user(alpha, "ada@alpha.org")
    monkeypatch.setenv("LABWIRE_PUBLIC_URL", "https://lab.example.org")
    settings.cache_clear()
    answer = client().post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


@pytest.mark.parametrize(
    ("email", "password"), [("ada@alpha.org", "wrong password"), ("nobody@alpha.org", PASSWORD), ("ada\0", "x")]
)
def test_a_refused_sign_in_says_the_same_for_every_reason(alpha: int, email: str, password: str) -> None:
    make_user(alpha, "ada@alpha.org")
    answer = client().post("/api/v1/sessions", json={"email": email, "password": password})
    assert answer.status_code in (401, 422)
    if answer.status_code == 401:
        assert answer.json()["error"].startswith("The e-mail address or the password is not right.")


def test_too_many_wrong_passwords_lock_even_the_right_one_out(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    browser = client()
    wrong = [
        browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": f"wrong {number}"})
        for number in range(5)
    ]
    right = browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": PASSWORD})
    assert [answer.status_code for answer in [*wrong, right]] == [401] * 6
    assert len({answer.json()["error"] for answer in [*wrong, right]}) == 1
    assert len(audited(alpha, "login.refuse")) == 4
    assert [row.resource_id for row in audited(alpha, "login.lock")] == [str(user_id)]
    with tenant_session(alpha) as session:
        session.execute(update(User).values(locked_until=utc_now() - timedelta(seconds=1)))
    assert browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": PASSWORD}).status_code == 201


def test_a_new_sign_in_replaces_the_session_the_browser_had(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    before = browser.cookies["labwire_session"]
    browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": PASSWORD})
    assert browser.cookies["labwire_session"] != before
    thief = client(cookies={"labwire_session": before})
    assert thief.get("/api/v1/me").status_code == 401


def test_a_cookie_planted_before_the_sign_in_is_worth_nothing(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = client(cookies={"labwire_session": "planted"})
    browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": PASSWORD})
    assert client(cookies={"labwire_session": "planted"}).get("/api/v1/me").status_code == 401


def test_signing_out_ends_the_session_not_only_the_cookie(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    token = browser.cookies["labwire_session"]
    assert browser.delete("/api/v1/sessions/current").status_code == 204
    assert client(cookies={"labwire_session": token}).get("/api/v1/me").status_code == 401


def test_an_idle_session_ends(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    age(alpha, last_seen_at=utc_now() - timedelta(minutes=59))
    assert browser.get("/api/v1/me").status_code == 200  # and this is being seen
    age(alpha, last_seen_at=utc_now() - timedelta(minutes=61))
    assert browser.get("/api/v1/me").status_code == 401


def test_being_seen_keeps_a_session_alive(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    age(alpha, last_seen_at=utc_now() - timedelta(minutes=59))
    browser.get("/api/v1/me")
    with tenant_session(alpha) as session:
        seen = session.scalars(select(UserSession.last_seen_at)).one()
    assert utc_now() - seen < timedelta(minutes=1)


def test_a_page_that_keeps_itself_new_does_not_keep_its_session_alive(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    age(alpha, last_seen_at=utc_now() - timedelta(minutes=59))
    assert browser.get("/worklist/rows?seen=abc", headers={"Accept": "text/html"}).status_code in (200, 204)
    with tenant_session(alpha) as session:
        assert utc_now() - session.scalars(select(UserSession.last_seen_at)).one() > timedelta(minutes=58)


def test_a_session_ends_at_the_latest_after_its_hours(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    with tenant_session(alpha) as session:
        row = session.scalars(select(UserSession)).one()
        assert timedelta(hours=11.9) < row.expires_at - utc_now() <= timedelta(hours=12)
    age(alpha, expires_at=utc_now() - timedelta(seconds=1))
    assert browser.get("/api/v1/me").status_code == 401


def test_a_session_begun_while_its_user_was_being_disabled_is_worth_nothing(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    with tenant_session(alpha) as session:
        session.execute(update(User).values(is_active=False))
    assert browser.get("/api/v1/me").status_code == 401


def test_sessions_are_listed_and_ended_by_their_user(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    here, there = signed_in("ada@alpha.org"), signed_in("ada@alpha.org")
    listed = here.get("/api/v1/sessions").json()
    assert sorted(row["is_current"] for row in listed) == [False, True]
    other = next(row["id"] for row in listed if not row["is_current"])
    assert here.delete(f"/api/v1/sessions/{other}").status_code == 204
    assert there.get("/api/v1/me").status_code == 401
    assert here.delete(f"/api/v1/sessions/{other}").status_code == 404
    assert len(here.get("/api/v1/sessions").json()) == 1


def test_nobody_ends_anothers_session_by_its_number(alpha: int) -> None:
    for name in ("ada", "grace"):
        make_user(alpha, f"{name}@alpha.org")
    ada, grace = signed_in("ada@alpha.org"), signed_in("grace@alpha.org")
    number = grace.get("/api/v1/sessions").json()[0]["id"]
    assert ada.delete(f"/api/v1/sessions/{number}").status_code == 404
    assert grace.get("/api/v1/me").status_code == 200


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_a_cookie_alone_changes_nothing(alpha: int, token: str | None) -> None:
    make_user(alpha, "ada@alpha.org")
    browser = signed_in("ada@alpha.org")
    del browser.headers["X-CSRF-Token"]
    headers = {} if token is None else {"X-CSRF-Token": token}
    assert browser.delete("/api/v1/sessions/current", headers=headers).status_code == 403
    assert browser.get("/api/v1/me").status_code == 200


def test_the_csrf_token_of_one_session_is_no_good_for_another(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    here, there = signed_in("ada@alpha.org"), signed_in("ada@alpha.org")
    here.headers["X-CSRF-Token"] = there.headers["X-CSRF-Token"]
    assert here.delete("/api/v1/sessions/current").status_code == 403


def test_a_sign_in_from_another_sites_page_is_refused(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    credentials = {"email": "ada@alpha.org", "password": PASSWORD}
    cross = client().post("/api/v1/sessions", json=credentials, headers={"Sec-Fetch-Site": "cross-site"})
    assert cross.status_code == 403
    plain = client().post(
        "/api/v1/sessions",
        content='{"email": "ada@alpha.org", "password": "x"}',
        headers={"Content-Type": "text/plain"},
    )
    assert plain.status_code == 422  # what a form of another site could send is not taken for JSON


def test_one_address_in_two_laboratories_signs_in_by_its_password(alpha: int, beta: int) -> None:
    make_user(alpha, "ada@alpha.org")
    make_user(beta, "ada@alpha.org")
    unclear = client().post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": PASSWORD})
    assert unclear.status_code == 409
    assert "laboratories" in unclear.json()["error"]
    for slug in ("alpha", "beta"):
        assert signed_in("ada@alpha.org", laboratory=slug).get("/api/v1/me").json()["tenant_slug"] == slug


def test_signing_in_to_one_laboratory_does_not_lock_the_other(alpha: int, beta: int) -> None:
    make_user(alpha, "ada@alpha.org")
    other = make_user(beta, "ada@alpha.org")
    with tenant_session(beta) as session:
        session.execute(update(User).where(User.id == other).values(password_hash=None))
    for _ in range(7):
        assert signed_in("ada@alpha.org").get("/api/v1/me").json()["tenant_slug"] == "alpha"
    with tenant_session(beta) as session:
        user = session.scalars(select(User)).one()
    assert (user.failed_logins, user.locked_until) == (0, None)


def test_the_address_of_a_client_is_believed_only_from_trusted_proxies(
    alpha: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user(alpha, "ada@alpha.org")
    forged = {"X-Forwarded-For": "203.0.113.7, 10.0.0.2"}

    def seen(peer: str) -> str:
        browser = client(client=(peer, 50000), headers=forged)
        browser.post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": PASSWORD})
        return str(browser.get("/api/v1/sessions").json()[0]["ip_address"])

    assert seen("10.0.0.1") == "10.0.0.1"
    monkeypatch.setenv("LABWIRE_TRUSTED_PROXIES", "10.0.0.0/24, ::1")
    settings.cache_clear()
    assert seen("10.0.0.1") == "203.0.113.7"
    assert seen("198.51.100.9") == "198.51.100.9"
    forged["X-Forwarded-For"] = "203.0.113.7, not an address"
    assert seen("10.0.0.1") == "10.0.0.1"


def test_changing_the_password_signs_out_everywhere_else(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    here, there = signed_in("ada@alpha.org"), signed_in("ada@alpha.org")
    wrong = here.put("/api/v1/me/password", json={"present": "nope", "password": "eight red bottles"})
    assert wrong.status_code == 422
    assert wrong.json()["fields"][0]["field"] == "present"
    weak = here.put("/api/v1/me/password", json={"present": PASSWORD, "password": "short"})
    assert weak.json()["fields"][0]["field"] == "password"
    done = here.put("/api/v1/me/password", json={"present": PASSWORD, "password": "eight red bottles"})
    assert done.status_code == 204
    assert here.get("/api/v1/me").status_code == 200
    assert there.get("/api/v1/me").status_code == 401
    old = client().post("/api/v1/sessions", json={"email": "ada@alpha.org", "password": PASSWORD})
    assert old.status_code == 401


def test_guessing_the_present_password_from_a_stolen_session_locks(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    thief = signed_in("ada@alpha.org")
    for number in range(5):
        thief.put("/api/v1/me/password", json={"present": f"guess {number}", "password": "eight red bottles"})
    last = thief.put("/api/v1/me/password", json={"present": PASSWORD, "password": "eight red bottles"})
    assert last.status_code == 422
