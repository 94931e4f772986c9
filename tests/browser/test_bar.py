"""The bar with the keyboard, on a desk and on a telephone."""

import pytest
from playwright.sync_api import expect

from tests.browser.people import PHONE, WIDE, Site

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_it_stays_in_one_line_for_whoever_may_do_everything(site: Site) -> None:
    page = site.enter("boss", "supervisor", "administrator", "doctor", viewport=WIDE)
    for path in ("/worklist", "/users", "/verification"):
        page.goto(path)
        assert page.locator(".bar").bounding_box()["height"] < 60  # type: ignore[index]


def test_a_menu_opens_by_key_and_closes_by_escape_or_when_it_is_left(site: Site) -> None:
    page = site.enter("boss", "supervisor", "administrator", viewport=WIDE)
    page.goto("/users")
    set_up, oversight = (page.locator("summary", has_text=name) for name in ("Set-up", "Oversight"))
    users = page.get_by_role("link", name="Users", exact=True)
    expect(users).to_be_hidden()
    set_up.focus()
    page.keyboard.press("Enter")
    expect(users).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Catalogue")).to_be_focused()
    page.keyboard.press("Escape")
    expect(users).to_be_hidden()
    expect(set_up).to_be_focused()
    oversight.click()
    expect(page.get_by_role("link", name="Audit trail")).to_be_visible()
    set_up.click()
    expect(page.get_by_role("link", name="Audit trail")).to_be_hidden()
    page.get_by_role("heading", name="Users").click()
    expect(users).to_be_hidden()


def test_on_a_telephone_all_of_it_is_behind_one_button(site: Site) -> None:
    page = site.enter("boss", "supervisor", "administrator", viewport=PHONE)
    page.goto("/worklist")
    held = page.get_by_role("link", name="Held results")
    button = page.get_by_role("button", name="Menu")
    expect(held).to_be_hidden()
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    expect(held).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.locator("summary", has_text="Set-up").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(held).to_be_hidden()
    expect(button).to_be_focused()
    button.click()
    held.click()
    page.wait_for_url("**/held")


def test_a_page_without_scripts_shows_all_of_the_bar(site: Site) -> None:
    page = site.enter("tina", "technician", viewport=PHONE, java_script_enabled=False)
    page.goto("/worklist")
    expect(page.get_by_role("link", name="Held results")).to_be_visible()
    expect(page.get_by_role("button", name="Menu")).to_be_hidden()


def test_a_new_push_key_is_in_sight_and_can_be_copied(site: Site) -> None:
    page = site.enter("keeper", "administrator", viewport=PHONE)
    page.goto(f"/instruments/{site.world.equipment_id}")
    page.get_by_role("button", name="Make the key").click()
    expect(page.locator("#new-push-key")).to_be_in_viewport()
    expect(page.get_by_text("Copy it now")).to_be_focused()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the key").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#new-push-key").inner_text()
