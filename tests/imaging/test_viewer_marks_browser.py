"""An image that is not to be used says so beside its picture; where that is not known, this is said."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import chromium as chromium
from tests.browser.people import PHONE, WIDE
from tests.imaging.browsing import Desks
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES
from tests.imaging.light_viewer import address as address
from tests.imaging.light_viewer import desks as desks
from tests.imaging.light_viewer import shows, words_are

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
expect.set_options(timeout=20_000)
REJECTED = "**/rejected"


def reject(clinic: Clinic, number: int, note: str) -> None:
    [image] = clinic.rows("SELECT id FROM radiology_image WHERE image_uid = :uid", uid=f"{SERIES}.{number}")
    answer = clinic.doctor.post(f"/api/v1/radiology/images/{image.id}/reject", json={"note": note})
    assert answer.status_code == 200, answer.text


def is_marked(page: Page, image: int, text: str) -> None:
    """Beside the picture of this image, and to whoever cannot see it."""
    shows(page, SERIES, image)
    expect(page.locator("#mark")).to_have_text(text)
    expect(page.locator("#mark")).to_be_visible()
    expect(page.locator("#canvas")).to_have_attribute("aria-label", f"Image {image} of 6, Axial. {text}")


def is_not_marked(page: Page, image: int) -> None:
    shows(page, SERIES, image)
    expect(page.locator("#mark")).to_be_hidden()
    words_are(page, image)


@pytest.mark.parametrize("viewport", [WIDE, PHONE])
def test_a_rejected_image_is_marked_with_its_note_and_no_other(
    desks: Desks, clinic: Clinic, address: str, viewport: dict[str, int]
) -> None:
    reject(clinic, 4, "Wrong side <b>")
    page = desks.guest(viewport=viewport)
    page.goto(address)
    is_marked(page, 4, "Not to be used: Wrong side <b>")
    page.keyboard.press("t")  # without text it stays
    expect(page.locator("#note-patient")).to_be_hidden()
    expect(page.locator("#mark")).to_be_visible()
    page.keyboard.press("ArrowDown")
    is_not_marked(page, 5)
    page.keyboard.press("ArrowUp")
    is_marked(page, 4, "Not to be used: Wrong side <b>")
    assert desks.complaints == []


def test_a_mark_hides_no_words_and_a_long_note_can_be_read(desks: Desks, clinic: Clinic, address: str) -> None:
    reject(clinic, 4, "Wrong side. " * 160 + "END")
    reject(clinic, 5, "Moved")
    page = desks.guest(viewport=PHONE)
    page.goto(address)
    mark, words = page.locator("#mark"), page.locator("#note-patient")
    for image in (4, 5):
        shows(page, SERIES, image)
        above, below = mark.bounding_box(), words.bounding_box()
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] <= below["y"] + 1
        page.keyboard.press("ArrowDown")
    page.keyboard.press("PageUp")
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    shows(page, SERIES, 4)
    mark.hover()
    page.mouse.wheel(0, 5000)
    page.wait_for_function(
        "(mark) => mark.scrollTop + mark.clientHeight >= mark.scrollHeight - 1", arg=mark.element_handle()
    )
    shows(page, SERIES, 4)


def test_it_is_known_before_an_image_that_was_rejected_while_the_viewer_was_open_is_seen_again(
    desks: Desks, clinic: Clinic, address: str
) -> None:
    page = desks.guest(viewport=WIDE)
    page.clock.install()
    page.goto(address)
    is_not_marked(page, 4)
    reject(clinic, 5, "Another patient's")
    page.clock.run_for(61_000)
    page.keyboard.press("ArrowDown")
    is_marked(page, 5, "Not to be used: Another patient's")


def test_until_it_is_known_that_is_said(desks: Desks, clinic: Clinic, address: str) -> None:
    reject(clinic, 4, "Wrong side")
    page = desks.guest(viewport=WIDE)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(REJECTED, hold)
    page.goto(address)
    is_marked(page, 4, "Looking whether this image may be used …")
    held.pop().continue_()
    is_marked(page, 4, "Not to be used: Wrong side")


@pytest.mark.parametrize("status", [500, 404])
def test_where_it_cannot_be_known_that_is_said_and_asked_again(
    desks: Desks, clinic: Clinic, address: str, status: int
) -> None:
    reject(clinic, 4, "Wrong side")
    page = desks.guest(viewport=WIDE)
    page.route(REJECTED, lambda route: route.fulfill(status=status))
    page.goto(address)
    is_marked(page, 4, "Not known just now whether this image may be used")
    page.unroute(REJECTED)
    if status == 404:  # it may be so for long: the next look asks again
        page.wait_for_timeout(2_100)
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowDown")
    is_marked(page, 4, "Not to be used: Wrong side")
    desks.complaints.clear()  # Chromium notes the status


def test_a_note_that_was_told_stays_though_no_answer_comes_any_more(desks: Desks, clinic: Clinic, address: str) -> None:
    reject(clinic, 4, "Wrong side")
    page = desks.guest(viewport=WIDE)
    page.clock.install()
    page.goto(address)
    is_marked(page, 4, "Not to be used: Wrong side")
    page.route(REJECTED, lambda route: route.abort())
    page.clock.run_for(61_000)
    page.keyboard.press("ArrowDown")
    is_marked(page, 5, "Not known just now whether this image may be used")
    page.keyboard.press("ArrowUp")
    is_marked(page, 4, "Not to be used: Wrong side")
    desks.complaints.clear()  # Chromium notes what was cut
