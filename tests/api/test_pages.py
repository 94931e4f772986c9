"""The pages about people, as a browser without scripts uses them."""

import re
from html.parser import HTMLParser

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from models.kernel.tenancy import tenant_session
from models.people.tables import ApiToken, Patient
from tests.api.helpers import PAGE, PASSWORD, audited, client, make_user, signed_in

pytestmark = pytest.mark.api


@pytest.fixture
def boss(alpha: int) -> TestClient:
    make_user(alpha, "boss@alpha.org", "supervisor", "administrator")
    browser = signed_in("boss@alpha.org")
    browser.headers["Accept"] = "text/html"
    browser.token = browser.headers.pop("X-CSRF-Token")  # forms send it as a field
    return browser


def post(browser: TestClient, address: str, **form: object) -> tuple[int, str]:
    """Status and text of a posted form, or status and place of where it leads."""
    answer = browser.post(address, data={"csrf_token": browser.token, **form})
    return answer.status_code, answer.headers.get("location", answer.text)


def test_every_page_without_a_session_leads_to_the_sign_in(alpha: int) -> None:
    for address in ("/", "/account", "/users", "/users/1", "/patients", "/patients/1/merge", "/access-log"):
        answer = client(headers=PAGE).get(address)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")


def test_a_form_without_its_token_changes_nothing(boss: TestClient, alpha: int) -> None:
    answer = boss.post("/patients/new", data={"code": "P1"})
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")
    with tenant_session(alpha) as session:
        assert session.scalars(select(Patient)).all() == []


def test_the_start_leads_to_the_first_page_of_the_role(alpha: int) -> None:
    make_user(alpha, "admin@alpha.org", "administrator")
    make_user(alpha, "rad@alpha.org", "radiology_technician")
    admin, rad = signed_in("admin@alpha.org"), signed_in("rad@alpha.org")
    assert rad.get("/", headers=PAGE).headers["location"] == "/patients"
    assert admin.get("/", headers=PAGE).headers["location"] != "/patients"
    assert 'href="/users"' in admin.get("/account", headers=PAGE).text
    assert 'href="/users"' not in rad.get("/account", headers=PAGE).text


def test_a_patient_through_the_pages(boss: TestClient, alpha: int) -> None:
    status, text = post(boss, "/patients/new", code="", family_name="Doe", birth_date="2999-01-01")
    assert status == 422
    assert 'aria-invalid="true"' in text
    assert 'value="Doe"' in text  # what was typed is still there
    status, place = post(boss, "/patients/new", code="P1", family_name="<b>Doe</b>", sex="female")
    assert status == 303
    page = boss.get(place).text
    assert "The patient is registered." in page
    assert "&lt;b&gt;Doe&lt;/b&gt;" in page
    assert "<b>Doe" not in page
    form = boss.get(f"{place}/edit").text
    version = re.search(r'name="version" value="(\d+)"', form)
    assert version
    assert post(boss, f"{place}/edit", code="P1", family_name="Roe", version=version[1])[0] == 303
    status, text = post(boss, f"{place}/edit", code="P1", family_name="Poe", version=version[1])
    assert status == 409
    assert "changed by somebody else" in text
    assert post(boss, f"{place}/identifiers", system="national-id", value="77")[0] == 303
    assert "77" in boss.get(place).text
    status, text = post(boss, f"{place}/identifiers", system="national-id", value="77")
    assert status == 409
    assert "already noted" in text


def test_a_merge_is_shown_before_it_is_done(boss: TestClient, alpha: int) -> None:
    kept = post(boss, "/patients/new", code="P1", family_name="Doe")[1]
    gone = post(boss, "/patients/new", code="P2", family_name="Do")[1]
    assert "No other living record" in boss.get(f"{kept}/merge?code=P1").text
    page = boss.get(f"{kept}/merge?code=P2").text
    assert "cannot be undone" in page
    fields = dict(re.findall(r'name="(merged_id|version|merged_version)" value="(\d+)"', page))
    assert post(boss, f"{kept}/merge", **fields) == (303, kept)
    assert "This record was merged" in boss.get(gone).text
    assert "P2" in boss.get(kept).text
    assert boss.get(f"{gone}/edit").status_code == 409


def test_who_looked_is_found_by_code(boss: TestClient, alpha: int) -> None:
    place = post(boss, "/patients/new", code="P1")[1]
    boss.get(place)
    page = boss.get("/access-log?code=P1").text
    assert "boss@alpha.org" in page
    assert boss.get("/access-log?code=P9").status_code == 404
    assert len(audited(alpha, "patient.access_log")) == 1


def test_a_user_through_the_pages(boss: TestClient, alpha: int) -> None:
    status, text = post(boss, "/users/new", name="Ada", email="nobody")
    assert status == 422
    assert "Is not an e-mail address" in text
    status, place = post(boss, "/users/new", name="Ada", email="ada@alpha.org", roles=["doctor", "verifier"])
    assert status == 303
    assert "is mailed a link" in boss.get(place).text
    assert post(boss, place, name="Ada L.", roles=["doctor"])[0] == 303
    assert "Ada L." in boss.get("/users").text
    assert post(boss, place, name="Ada L.")[0] == 422  # no role left
    assert post(boss, f"{place}/password-link")[0] == 303
    assert post(boss, f"{place}/disable")[0] == 303
    assert "Disabled" in boss.get(place).text
    assert post(boss, f"{place}/enable")[0] == 303
    make_user(alpha, "grace@alpha.org")
    signed_in("grace@alpha.org")
    page = boss.get("/users/3").text
    number = re.search(r'action="(/users/3/sessions/\d+/end)"', page)
    assert number
    assert post(boss, number[1])[0] == 303
    assert "Not signed in anywhere" in boss.get("/users/3").text


def test_the_account_page_makes_and_revokes_tokens(boss: TestClient, alpha: int) -> None:
    status, text = post(boss, "/account/tokens", name="import", scopes=["read"], expires_in_days="30")
    assert status == 200
    shown = re.search(r"lw_api_[\w-]{40,}", text)
    assert shown
    assert shown[0] not in boss.get("/account").text
    with tenant_session(alpha) as session:
        token_id = session.scalars(select(ApiToken.id)).one()
    assert post(boss, f"/account/tokens/{token_id}/revoke")[0] == 303
    assert post(boss, "/account/tokens", name="x", scopes=["read"], expires_in_days="many")[0] == 422
    assert post(boss, "/account/tokens", name="x", scopes=["results:push"], expires_in_days="3")[0] == 422


def test_the_account_page_changes_the_password_and_ends_sessions(boss: TestClient, alpha: int) -> None:
    other = signed_in("boss@alpha.org")
    number = re.search(r'action="(/account/sessions/\d+/end)"', boss.get("/account").text)
    assert number
    assert post(boss, number[1])[0] == 303
    assert other.get("/api/v1/me").status_code == 401
    new = {"present": PASSWORD, "password": "eight red bottles"}
    assert post(boss, "/account/password", **new, password_again="another")[0] == 422
    assert post(boss, "/account/password", **new, password_again="eight red bottles")[0] == 303
    assert post(boss, "/logout") == (303, "/login")
    assert boss.get("/account").status_code == 303


def test_the_login_page_asks_for_the_laboratory_where_it_must(alpha: int, beta: int) -> None:
    make_user(alpha, "ada@alpha.org")
    make_user(beta, "ada@alpha.org")
    browser = client(headers=PAGE)
    token = re.search(r'name="csrf_token" value="(\w+)"', browser.get("/login").text)
    assert token
    form = {"email": "ada@alpha.org", "password": PASSWORD, "csrf_token": token[1]}
    unclear = browser.post("/login", data=form)
    assert unclear.status_code == 409
    assert 'name="laboratory"' in unclear.text
    assert PASSWORD not in unclear.text
    assert browser.post("/login", data=form | {"laboratory": "beta"}).status_code == 303
    assert "Beta" in browser.get("/account").text


class Checker(HTMLParser):
    """Collects what a screen reader would miss."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labels: set[str] = set()
        self.fields: list[str] = []
        self.headings: list[str] = []
        self.in_label = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "label":
            self.in_label += 1
            self.labels.add(str(given.get("for")))
        if tag in ("h1", "h2"):
            self.headings.append(tag)
        if (
            tag in ("input", "select", "textarea")
            and given.get("type") != "hidden"
            and "hidden" not in given
            and not self.in_label
        ):
            self.fields.append(str(given.get("id")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self.in_label -= 1


def test_pages_can_be_used_with_a_screen_reader(boss: TestClient, alpha: int) -> None:
    post(boss, "/patients/new", code="P1")
    post(boss, "/patients/new", code="P2")
    addresses = [
        "/account", "/users", "/users/1", "/users/new", "/patients", "/patients/1", "/patients/1/edit", "/patients/new",
        "/patients/1/merge?code=P2", "/patients/1/access-log", "/access-log", "/nothing",
    ]  # fmt: skip
    for address in addresses:
        text = boss.get(address).text
        page = Checker()
        page.feed(text)
        assert len(page.ids) == len(set(page.ids)), f"{address} has an id twice"
        assert set(page.fields) <= page.labels, f"{address}: a field without a label"
        assert page.headings.count("h1") == 1, f"{address} needs one h1"
        assert 'lang="en"' in text
        assert 'href="#main"' in text
        assert 'aria-live="polite"' in text
