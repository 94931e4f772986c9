import logging
import re

import pytest
from sqlalchemy.exc import DataError, IntegrityError
from starlette.testclient import TestClient

from api.app import create_app, without_secrets
from api.middleware import MOST_BODY_BYTES, UnexpectedError
from api.security import safe_next
from models.kernel import db
from models.kernel.errors import HeldError, RateLimitedError, RetryableError, UnknownOutcomeError
from models.kernel.settings import settings
from tests.api.helpers import BASE, PAGE, PASSWORD, client, make_user, signed_in

pytestmark = pytest.mark.api


@pytest.fixture
def ada(alpha: int) -> TestClient:
    make_user(alpha, "ada@alpha.org", "supervisor")
    return signed_in("ada@alpha.org")


@pytest.mark.parametrize("address", ["/login", "/api/v1/me", "/healthz", "/no-such-thing", "/static/labwire.css"])
def test_every_answer_has_the_security_headers(alpha: int, address: str) -> None:
    headers = client().get(address, headers=PAGE).headers
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_pages_and_api_answers_are_not_stored_and_versioned_files_are(ada: TestClient) -> None:
    for address in ("/account", "/api/v1/me", "/login", "/api/v1/nothing"):
        assert ada.get(address).headers["cache-control"] == "no-store"
    sheet = re.search(r'href="(/static/labwire\.css\?v=\w+)"', ada.get("/account").text)
    assert sheet
    assert "immutable" in ada.get(sheet[1]).headers["cache-control"]


def test_pages_hold_no_inline_script_or_style(ada: TestClient) -> None:
    for address in ("/login", "/account", "/patients", "/patients/new", "/access-log"):
        text = ada.get(address, headers=PAGE).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text), address


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b'{"code": "P1"', b"[1, 2", b"[" * 100_000, b"9" * 5000])
def test_unreadable_json_is_refused_without_a_trace(ada: TestClient, content: bytes) -> None:
    answer = ada.post("/api/v1/patients", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["success"] is False
    assert "Traceback" not in answer.text


def test_a_body_that_is_not_called_json_is_not_taken_for_it(ada: TestClient) -> None:
    answer = ada.post("/api/v1/patients", content=b'{"code": "P1"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422


def test_a_lone_surrogate_is_refused(ada: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    for field in ("code", "family_name"):
        body = b'{"code": "P1", "%s": "\\ud800"}' % field.encode()
        assert ada.post("/api/v1/patients", content=body, headers=headers).status_code == 422
    body = b'{"email": "ada@alpha.org", "password": "\\ud800"}'
    assert client().post("/api/v1/sessions", content=body, headers=headers).status_code in (401, 422)


def test_a_body_too_long_is_413_whether_it_says_so_or_not(ada: TestClient) -> None:
    headers = {"Content-Type": "application/json"}
    whole = ada.post("/api/v1/patients", content=b" " * (MOST_BODY_BYTES + 1), headers=headers)
    pieces = (b" " * 65536 for _ in range(MOST_BODY_BYTES // 65536 + 1))
    unannounced = ada.post("/api/v1/patients", content=pieces, headers=headers)
    lying = ada.post("/api/v1/patients", content=b"{}", headers=headers | {"Content-Length": "9" * 30})
    assert [whole.status_code, unannounced.status_code, lying.status_code] == [413, 413, 413]
    assert whole.json()["success"] is False


@pytest.mark.parametrize("address", ["/api/v1/patients?q=%00", "/api/v1/patients/%00", "/patients?q=a%00b", "/%00"])
def test_nul_in_an_address_is_400(ada: TestClient, address: str) -> None:
    assert ada.get(address).status_code == 400


@pytest.mark.parametrize("address", ["/api/v1/nothing", "/nothing"])
def test_an_unknown_address_is_404_in_the_callers_language(alpha: int, address: str) -> None:
    assert client().get(address).json()["success"] is False
    page = client().get(address, headers=PAGE)
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("application/json" if "/api/" in address else "text/html")


def test_a_wrong_method_is_405(alpha: int) -> None:
    answer = client().put("/api/v1/patients")
    assert (answer.status_code, answer.json()["success"]) == (405, False)
    assert "GET" in answer.headers["allow"]


def test_a_mistake_of_ours_tells_nobody_anything(alpha: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the caller nor the server's log learns the values an error's message holds."""
    monkeypatch.setenv("LABWIRE_DEBUG_ERRORS", "0")
    settings.cache_clear()
    app = create_app()

    @app.get("/boom")
    def boom() -> None:
        raise KeyError("Ada Lovelace, born 1915")

    browser = TestClient(app, base_url=BASE, raise_server_exceptions=False)
    answer = browser.get("/boom")
    assert (answer.status_code, answer.json()) == (500, {"success": False, "error": "Something went wrong on our side"})
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert browser.get("/boom", headers=PAGE).headers["content-type"].startswith("text/html")
    with pytest.raises(UnexpectedError) as logged:
        TestClient(app, base_url=BASE).get("/boom")
    assert "KeyError at" in str(logged.value)
    assert "test_door.py" in str(logged.value)
    assert "Lovelace" not in str(logged.value)
    assert logged.value.__suppress_context__


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RateLimitedError("slower", retry_after_seconds=7), 429),
        (RetryableError("later", retry_after_seconds=7), 503),
        (HeldError("unit", "another unit"), 422),
        (UnknownOutcomeError("no answer came"), 502),
        (DataError("SELECT", {}, ValueError("Lovelace")), 422),
        (IntegrityError("INSERT", {}, ValueError("Lovelace")), 409),
    ],
)
def test_every_class_of_error_has_its_status(alpha: int, error: Exception, status: int) -> None:
    app = create_app()

    @app.get("/raise")
    def boom() -> None:
        raise error

    answer = TestClient(app, base_url=BASE).get("/raise")
    assert (answer.status_code, answer.json()["success"]) == (status, False)
    assert "Lovelace" not in answer.text
    if status in (429, 503):
        assert answer.headers["retry-after"] == "7"
    if isinstance(error, HeldError):
        assert answer.json()["fields"] == [{"field": "unit", "message": "another unit"}]


def test_the_database_being_away_is_503(ada: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_DATABASE_URL", "postgresql://labwire_app:x@127.0.0.1:1/nothing")
    settings.cache_clear()
    db.engine.cache_clear()
    answer = ada.get("/api/v1/me")
    assert (answer.status_code, answer.json()["success"]) == (503, False)
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/a\nb", "javascript:alert(1)",
        "/\t/evil.example", "evil.example", "", "///evil.example", "/" + "a" * 600, "http:/evil.example", "/ /evil",
    ],
)  # fmt: skip
def test_a_sign_in_sends_nobody_to_another_site(target: str) -> None:
    assert safe_next(target) == "/"


@pytest.mark.parametrize("target", ["/", "/worklist?state=P&page=2", "/patients/7#results"])
def test_a_sign_in_goes_on_to_the_page_asked_for(target: str) -> None:
    assert safe_next(target) == target


def test_the_login_page_obeys(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org", "doctor")
    browser = client(headers=PAGE)
    asked = browser.get("/patients?q=x")
    assert (asked.status_code, asked.headers["location"]) == (303, "/login?next=%2Fpatients%3Fq%3Dx")

    def log_in(target: str) -> str:
        token = re.search(r'name="csrf_token" value="(\w+)"', browser.get(f"/login?next={target}").text)
        assert token
        form = {"email": "ada@alpha.org", "password": PASSWORD, "next": target, "csrf_token": token[1]}
        answer = browser.post("/login", data=form)
        assert answer.status_code == 303
        browser.cookies.delete("labwire_session")
        return str(answer.headers["location"])

    assert log_in("/patients") == "/patients"
    assert log_in("//evil.example") == "/"


def test_a_login_form_of_another_site_is_refused(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    form = {"email": "ada@alpha.org", "password": PASSWORD}
    assert client().post("/login", data=form).status_code == 403
    assert client().post("/login", data=form | {"csrf_token": ""}).status_code == 403
    browser, other = client(), client()
    browser.get("/login")
    token = re.search(r'name="csrf_token" value="(\w+)"', other.get("/login").text)
    assert token
    assert browser.post("/login", data=form | {"csrf_token": token[1]}).status_code == 403
    ours = other.post("/login", data=form | {"csrf_token": token[1]}, headers={"Sec-Fetch-Site": "cross-site"})
    assert ours.status_code == 403
    assert other.post("/login", data=form | {"csrf_token": token[1]}).status_code == 303


def test_htmx_is_told_about_errors_and_ended_sessions_in_its_way(ada: TestClient) -> None:
    headers = {"Accept": "*/*", "HX-Request": "true", "HX-Current-URL": f"{BASE}/patients?q=x"}
    missing = ada.get("/patients/77", headers=headers)
    assert (missing.status_code, missing.headers["hx-retarget"]) == (404, "#flash")
    assert missing.headers["content-type"].startswith("text/html")
    assert "<html" not in missing.text
    gone = client(headers=headers).get("/patients")
    assert (gone.status_code, gone.headers["hx-redirect"]) == (401, "/login?next=%2Fpatients%3Fq%3Dx")


@pytest.mark.parametrize("headers", [PAGE, {"HX-Request": "true"}])
def test_a_form_sent_after_the_session_ended_is_told_not_to_be_done(alpha: int, headers: dict[str, str]) -> None:
    browser = client(headers=headers, cookies={"labwire_session": "ended"})
    answer = browser.post("/patients/new", data={"code": "P1"})
    place = answer.headers.get("location") or answer.headers["hx-redirect"]
    assert place == "/login"
    browser.headers.pop("HX-Request", None)
    assert "Your session had ended: nothing was done. Sign in and do it again." in browser.get(place).text
    assert "had ended" not in browser.get(place).text  # once
    browser.get("/patients", headers=PAGE)  # looking is told nothing
    assert "had ended" not in browser.get("/login").text


def test_a_forged_flash_is_not_shown(alpha: int) -> None:
    browser = client(cookies={"labwire_flash": "WyJlcnJvciIsICJDYWxsIDU1NSJd.00"})
    assert "Call 555" not in browser.get("/login", headers=PAGE).text


def test_addresses_in_an_access_log_hold_no_token() -> None:
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', None, None)
    record.args = ("127.0.0.1:5", "GET", "/reset/lw_reset_SECRET?token=SECRET&page=2", "1.1", 200)
    assert without_secrets(record)
    assert "SECRET" not in record.getMessage()
    assert "page=2" in record.getMessage()
