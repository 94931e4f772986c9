"""The bar: what each role finds in it, what stands in menus, and the demo's mailbox in the demo alone."""

import re

import pytest

from models.kernel.settings import settings
from tests.api.helpers import PAGE, make_user, signed_in
from tests.conftest import Database

pytestmark = pytest.mark.api
MAILBOX = "http://127.0.0.1:8025"


def bar() -> str:
    """The navigation as Ada sees it on her account page."""
    page = signed_in("ada@alpha.org").get("/account", headers=PAGE).text
    found = re.search(r'<nav class="bar__nav".*?</nav>', page, re.DOTALL)
    assert found is not None
    return found[0]


def links(html: str) -> list[str]:
    return re.findall(r'href="([^"]+)"', html)


@pytest.mark.parametrize(
    ("roles", "menus"),
    [
        (("technician",), ["Vitals"]),
        (("nurse",), ["Vitals"]),
        (("doctor",), ["Vitals", "Imaging"]),
        (("supervisor",), ["Vitals", "Oversight"]),
        (("administrator",), ["Oversight", "Set-up"]),
        (("supervisor", "administrator", "doctor"), ["Vitals", "Imaging", "Oversight", "Set-up"]),
    ],
)
def test_what_is_used_seldom_stands_in_menus_where_there_is_more_than_one(
    alpha: int, roles: tuple[str, ...], menus: list[str]
) -> None:
    make_user(alpha, "ada@alpha.org", *roles)
    html = bar()
    assert re.findall(r"<summary[^>]*>([^<]+)</summary>", html) == menus
    assert len(links(html)) == len(set(links(html)))
    if "technician" in roles:
        vitals = ["/vitals/patients", "/vitals/held", "/devices"]
        assert links(html) == ["/worklist", "/held", "/alerts", "/patients", "/instruments", "/catalogue", *vitals]


def test_a_menu_says_that_the_page_is_inside(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org", "administrator")
    page = signed_in("ada@alpha.org").get("/users", headers=PAGE).text
    assert re.search(r'<summary class="is-here">Set-up</summary>', page)
    assert re.search(r'<a href="/users" aria-current="page">', page)


@pytest.mark.parametrize(
    ("given", "is_there"),
    [
        ({}, False),
        ({"LABWIRE_MAILBOX_URL": MAILBOX}, False),
        ({"LABWIRE_DEMO": "true"}, False),
        ({"LABWIRE_DEMO": "true", "LABWIRE_MAILBOX_URL": MAILBOX}, True),
    ],
)
def test_the_mailbox_is_linked_in_the_demo_alone(
    alpha: int, given: dict[str, str], is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    make_user(alpha, "ada@alpha.org", "technician")
    assert (MAILBOX in links(bar())) is is_there
    start = signed_in("ada@alpha.org").get("/", headers=PAGE)
    assert start.headers["location"] == "/worklist"


def test_an_administrator_begins_with_a_page_of_theirs(database: Database, alpha: int) -> None:
    make_user(alpha, "ada@alpha.org", "administrator")
    assert signed_in("ada@alpha.org").get("/", headers=PAGE).headers["location"] == "/instruments"
