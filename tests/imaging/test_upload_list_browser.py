"""What the upload page says of all its files: none is passed over, however many they are, and whatever fails."""

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from tests.browser.conftest import chromium as chromium
from tests.imaging.browsing import Desks
from tests.imaging.test_upload_browser import BINARY, drop, opened, series, stored, sums
from tests.imaging.test_upload_browser import desks as desks
from tests.imaging.test_upload_browser import page as page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
expect.set_options(timeout=20_000)
WORKER = "**/upload_hash.js"
MOST_ROWS = 200


def heading(page: Page, text: str) -> None:
    expect(page.locator("#sending-head")).to_have_text(text, timeout=60_000)


def test_what_was_left_out_is_in_the_heading_and_the_list(desks: Desks, page: Page) -> None:
    files = series(3)
    drop(page, files | {"notes.txt": b"hello"})
    heading(page, "3 stored, 1 left out")
    opened(page)
    drop(page, files | {"IM0009.dcm": b"", "notes.txt": b"hello"})
    heading(page, "3 of 4 stored, 1 not, 1 left out")
    expect(page.locator(".is-refused")).to_contain_text("IM0009.dcm0 bytesRefused: the file is empty")
    opened(page)
    drop(page, {"notes.txt": b"hello"})
    heading(page, "Nothing to send, 1 left out")
    assert stored(desks.clinic) == sums(files)
    assert desks.complaints == []


@pytest.mark.parametrize("viewport", [None, ViewportSize(width=390, height=844)])
def test_each_of_five_hundred_files_can_be_seen_in_few_rows(
    desks: Desks, page: Page, viewport: ViewportSize | None
) -> None:
    if viewport:
        page.set_viewport_size(viewport)
    files = series(500)
    page.route(BINARY, lambda route: None)  # the server takes for ever
    drop(page, files | {"notes.txt": b"hello", "empty.dcm": b""})
    expect(page.locator(".is-sending").first).to_be_visible()
    expect(page.locator("#rest")).to_have_text("Files 1 to 200 of 502: scroll the list for the others")
    expect(page.locator("#list > li").first).to_contain_text("empty.dcm")
    expect(page.get_by_text("Left out: no image")).to_be_attached()
    page.locator("#list").focus()
    seen: set[str] = set()
    for _ in range(200):
        names = page.locator("#list > li:has(progress) .sent__name").all_inner_texts()
        assert len(names) <= MOST_ROWS
        seen.update(names)
        if len(seen) == 502:
            break
        page.locator("#list").hover()
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(30)
    assert seen == {*files, "notes.txt", "empty.dcm"}
    page.keyboard.press("Home")
    expect(page.locator("#list > li").first).to_contain_text("empty.dcm")
    page.keyboard.press("End")
    expect(page.get_by_role("progressbar", name="Sent of IM0500.dcm")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_finished_files_give_way_to_those_on_their_way_until_all_are_stored(desks: Desks, page: Page) -> None:
    files = series(500)
    asked, held = list[Route](), list[Route]()

    def last_ones(route: Route) -> None:
        """Three after thirty are held: no more are on their way at once."""
        asked.append(route)
        if 30 < len(asked) <= 33:
            held.append(route)
        else:
            route.continue_()

    page.route(BINARY, last_ones)
    drop(page, files | {"notes.txt": b"hello"})
    while len(held) < 3:
        page.wait_for_timeout(50)
    expect(page.locator("#list > li").nth(1)).to_contain_text("Sending")
    assert page.locator("#list > li").count() <= MOST_ROWS
    for route in held:
        route.continue_()
    heading(page, "500 stored, 1 left out")
    expect(page.locator("#list > li").first).to_contain_text("notes.txt")
    assert stored(desks.clinic) == sums(files)
    assert desks.complaints == []


@pytest.fixture
def broken(desks: Desks) -> Page:
    """A technician before a page whose worker does not load."""
    page = desks.enter("otto", "radiology_technician")
    page.context.route(WORKER, lambda route: route.fulfill(status=500))
    opened(page)
    return page


def test_a_worker_that_does_not_load_is_told_and_tried_again(desks: Desks, broken: Page) -> None:
    files = series(3)
    drop(broken, files)
    heading(broken, "0 of 3 stored, 3 not")
    expect(broken.get_by_text("Failed: a part of this page did not load")).to_have_count(3)
    broken.context.unroute(WORKER)
    broken.get_by_role("button", name="Try the failed again").click()
    heading(broken, "All 3 stored")
    assert stored(desks.clinic) == sums(files)
    desks.complaints.clear()  # Chromium notes the status


def test_what_was_discarded_elsewhere_keeps_no_file_out(desks: Desks, page: Page) -> None:
    clinic = desks.clinic
    order_id, files = clinic.order(clinic.patient()), series(2)
    opened(page, order_id)
    page.route(BINARY, lambda route: None)
    drop(page, files)
    expect(page.locator(".is-sending")).to_have_count(2)
    page.on("dialog", lambda dialog: dialog.accept())
    opened(page)
    page.unroute(BINARY)
    drop(page, files)
    heading(page, "0 of 2 stored, 2 not")
    expect(page.get_by_text(f"Refused: begun before for order {order_id}")).to_have_count(2)
    for (number,) in clinic.rows("SELECT id FROM image_upload WHERE state = 'declared'"):
        answer = clinic.technician.post(f"/api/v1/radiology/uploads/{number}/discard", json={"note": "of another"})
        assert answer.status_code == 200, answer.text
    drop(page, files)
    heading(page, "All 2 stored")
    assert stored(clinic) == sums(files)


def test_what_was_discarded_since_the_page_was_opened_is_not_refused_at_all(desks: Desks, page: Page) -> None:
    clinic = desks.clinic
    order_id, files = clinic.order(clinic.patient()), series(2)
    opened(page, order_id)
    page.route(BINARY, lambda route: None)
    drop(page, files)
    expect(page.locator(".is-sending")).to_have_count(2)
    page.on("dialog", lambda dialog: dialog.accept())
    opened(page)
    page.unroute(BINARY)
    for (number,) in clinic.rows("SELECT id FROM image_upload WHERE state = 'declared'"):
        answer = clinic.technician.post(f"/api/v1/radiology/uploads/{number}/discard", json={"note": "of another"})
        assert answer.status_code == 200, answer.text
    drop(page, files)
    heading(page, "All 2 stored")
    assert stored(clinic) == sums(files)
