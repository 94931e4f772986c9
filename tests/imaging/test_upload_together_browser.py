"""Small files of the upload page go together in one request, and by themselves where that did not end well."""

import json

import pytest
from playwright.sync_api import Page, Request, Response, Route, expect

from models.imaging.offers import Offer
from models.imaging.preparing import Preparing, Ready
from tests.browser.conftest import chromium as chromium
from tests.imaging.browsing import Desks
from tests.imaging.test_upload_browser import desks as desks
from tests.imaging.test_upload_browser import drop, series, stored, sums
from tests.imaging.test_upload_browser import page as page

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
TOGETHER = "**/uploads/binaries"
FILES = 40


@pytest.fixture
def asked(page: Page) -> list[str]:
    """Method and last word of the address of what the page asks."""
    seen: list[str] = []

    def see(request: Request) -> None:
        seen.append(f"{request.method} {request.url.partition('?')[0].rsplit('/', 1)[-1]}")

    page.on("request", see)
    return seen


def test_small_files_take_few_requests(desks: Desks, page: Page, asked: list[str]) -> None:
    files = series(FILES)
    drop(page, files)
    expect(page.get_by_role("heading", name=f"All {FILES} stored")).to_be_visible()
    assert stored(desks.clinic) == sums(files)
    assert asked.count("POST binaries") >= FILES // 10
    assert asked.count("POST binaries") + asked.count("PATCH binary") < FILES // 2
    assert asked.count("HEAD binary") == 0
    assert desks.complaints == []


def test_a_large_file_goes_by_itself(desks: Desks, page: Page, asked: list[str]) -> None:
    files = series(3, size=800)
    assert min(map(len, files.values())) > 2**20
    drop(page, files)
    expect(page.get_by_role("heading", name="All 3 stored")).to_be_visible()
    assert (asked.count("PATCH binary"), asked.count("POST binaries")) == (3, 0)
    assert stored(desks.clinic) == sums(files)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_line_that_breaks_meanwhile_loses_and_doubles_nothing(
    desks: Desks, page: Page, asked: list[str], *, arrives: bool
) -> None:
    files, broken = series(FILES), list[Route]()

    def breaking(route: Route) -> None:
        if len(broken) == 2:
            route.continue_()
            return
        broken.append(route)
        if arrives:
            route.fetch()
        route.abort("connectionreset")

    page.route(TOGETHER, breaking)
    drop(page, files)
    expect(page.locator("#line")).to_contain_text("The line is broken")
    expect(page.get_by_role("heading", name=f"All {FILES} stored")).to_be_visible(timeout=40_000)
    assert stored(desks.clinic) == sums(files)
    assert "HEAD binary" in asked, "what has come was not asked for"
    assert desks.clinic.spool() == []


def test_what_came_damaged_or_is_busy_comes_again_by_itself(desks: Desks, page: Page, asked: list[str]) -> None:
    files, ids = series(FILES), list[int]()

    def declared(response: Response) -> None:
        if response.request.method == "POST" and response.url.endswith("/uploads"):
            ids.extend(one["id"] for one in response.json()["uploads"])

    def unwell(route: Route) -> None:
        damaged = {"status": 422, "field": "checksum", "error": "not the declared one"}
        told = [{"id": one, **(damaged if one % 2 else {"status": 503, "error": "busy"})} for one in ids]
        route.fulfill(status=409, content_type="application/json", body=json.dumps({"uploads": told}))

    page.on("response", declared)
    page.route(TOGETHER, unwell, times=1)
    drop(page, files)
    expect(page.get_by_role("heading", name=f"All {FILES} stored")).to_be_visible(timeout=40_000)
    assert stored(desks.clinic) == sums(files)
    assert asked.count("PATCH binary") >= 2
    assert page.locator(".is-failed, .is-refused").count() == 0


@pytest.mark.parametrize("status", [413, 500, 400])
def test_refused_as_a_whole_each_goes_by_itself(desks: Desks, page: Page, asked: list[str], status: int) -> None:
    """As by a proxy that takes no request of this size."""
    files = series(FILES)
    page.route(TOGETHER, lambda route: route.fulfill(status=status, body="<html>too large</html>"))
    drop(page, files)
    expect(page.get_by_role("heading", name=f"All {FILES} stored")).to_be_visible(timeout=40_000)
    assert stored(desks.clinic) == sums(files)
    assert asked.count("POST binaries") <= 3, "it tries no more than was on its way"


def test_one_that_fails_is_the_only_one_that_is_shown_so(
    desks: Desks, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, ready = series(FILES), Preparing.ready

    def failing(self: Preparing, offer: Offer) -> Ready:
        if offer.filename == "IM0033.dcm":
            raise ValueError("a mistake of ours")
        return ready(self, offer)

    with monkeypatch.context() as patched:
        patched.setattr(Preparing, "ready", failing)
        drop(page, files)
        expect(page.get_by_role("heading", name=f"{FILES - 1} of {FILES} stored, 1 not")).to_be_visible(timeout=40_000)
        expect(page.locator(".is-failed")).to_have_count(1)
    page.get_by_role("button", name="Try the failed again").click()
    expect(page.get_by_role("heading", name=f"All {FILES} stored")).to_be_visible()
    assert stored(desks.clinic) == sums(files)
