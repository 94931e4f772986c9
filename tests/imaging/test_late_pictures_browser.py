"""The light viewer over a slow line: a picture that comes late is never shown beside the words of another."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import chromium as chromium
from tests.browser.people import WIDE
from tests.imaging.browsing import Desks
from tests.imaging.dicoms import SERIES
from tests.imaging.light_viewer import address as address
from tests.imaging.light_viewer import desks as desks
from tests.imaging.light_viewer import shows, words_are

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
expect.set_options(timeout=20_000)
SCOUT = f"{SERIES}2"


class Line:
    """What the page asks for whose address ends so is held until it is let through; the rest passes."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.held: dict[str, list[Route]] = {}
        page.route("**/dicom-web/**", self._ask)

    def hold(self, ending: str) -> None:
        self.held[ending] = []

    def wait(self, ending: str) -> None:
        """Until it is asked for."""
        for _ in range(200):
            if self.held[ending]:
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{ending} is not asked for")

    def release(self, ending: str, deed: Callable[[Route], None] = Route.continue_) -> None:
        """Let it through, and wait until the page has had the time to make use of it."""
        for route in self.held.pop(ending):
            deed(route)
        self.page.wait_for_timeout(500)

    def _ask(self, route: Route) -> None:
        path = route.request.url.partition("?")[0]
        for ending, routes in self.held.items():
            if path.endswith(ending):
                routes.append(route)
                return
        route.continue_()


def picture(number: int) -> str:
    return f"{SERIES}.{number}/rendered"


@pytest.fixture
def page(desks: Desks) -> Page:
    return desks.guest(viewport=WIDE)


@pytest.fixture
def line(page: Page) -> Line:
    return Line(page)


def test_a_picture_that_comes_late_is_shown_as_what_it_is(page: Page, line: Line, address: str) -> None:
    line.hold(picture(4))
    line.hold(picture(1))
    page.goto(address)
    line.wait(picture(4))
    page.keyboard.press("Home")
    line.release(picture(4))
    shows(page, SERIES, 4)
    words_are(page, 4)
    line.release(picture(1))
    shows(page, SERIES, 1)
    words_are(page, 1)


def test_a_picture_that_comes_late_never_replaces_what_was_wished_for_after_it(
    page: Page, line: Line, address: str
) -> None:
    line.hold(picture(6))
    page.goto(address)
    shows(page, SERIES, 4)
    before = page.locator("#canvas").screenshot()
    page.keyboard.press("End")
    line.wait(picture(6))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")  # this one is here already
    line.release(picture(6))
    shows(page, SERIES, 4)
    words_are(page, 4)
    assert page.locator("#canvas").screenshot() == before


def test_a_picture_of_a_series_that_was_left_is_not_shown_in_another(page: Page, line: Line, address: str) -> None:
    line.hold(picture(4))
    line.hold(f"{SCOUT}/metadata")
    page.goto(address)
    line.wait(picture(4))
    page.get_by_role("button", name="Scout").click()
    line.release(picture(4))
    expect(page.locator("#viewer")).to_have_attribute("data-shown", "")
    expect(page.locator("#note-image")).to_have_text("")
    line.release(f"{SCOUT}/metadata")
    shows(page, SCOUT, 1)
    expect(page.locator("#note-image")).to_have_text("CT · image 1 of 1")


def test_the_series_chosen_last_is_opened_though_one_before_comes_after_it(
    page: Page, line: Line, address: str
) -> None:
    page.goto(address)
    shows(page, SERIES, 4)
    line.hold(f"{SCOUT}/metadata")
    page.locator("#stage").focus()
    page.keyboard.press("ArrowRight")
    line.wait(f"{SCOUT}/metadata")
    page.keyboard.press("ArrowLeft")
    shows(page, SERIES, 4)
    line.release(f"{SCOUT}/metadata")
    shows(page, SERIES, 4)
    words_are(page, 4)


def test_a_picture_that_cannot_be_had_leaves_no_other_in_its_place(
    page: Page, desks: Desks, line: Line, address: str
) -> None:
    line.hold(picture(1))
    page.goto(address)
    shows(page, SERIES, 4)
    page.keyboard.press("Home")
    line.wait(picture(1))
    line.release(picture(1), lambda route: route.fulfill(status=503))
    expect(page.locator("#said")).to_have_text("The image cannot be shown just now.")
    expect(page.locator("#viewer")).to_have_attribute("data-shown", "")
    words_are(page, 1)
    page.keyboard.press("ArrowDown")
    shows(page, SERIES, 2)
    words_are(page, 2)
    expect(page.locator("#said")).to_have_text("")
    desks.complaints.clear()  # Chromium notes the 503
