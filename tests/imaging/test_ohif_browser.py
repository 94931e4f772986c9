"""The real OHIF, as set-up prepared it, in Chromium before a small DICOMweb server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from playwright.sync_api import Browser

import api
from api import errors
from api.imaging import ohif
from api.imaging.viewer_links import viewer_url
from api.middleware import Door
from models.kernel.settings import settings
from tests.imaging.tiny_dicomweb import STUDY, TOKEN, TinyServer
from tests.imaging.viewer_browser import Window, drawing_chromium, served

pytestmark = pytest.mark.browser

UNCOMPRESSED, JPEG_2000 = "CT_small.dcm", "MR_small_jp2klossless.dcm"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with drawing_chromium() as browser:
        yield browser


@contextmanager
def opened(browser: Browser, tiny: TinyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    """The link of the study, followed in a fresh browser window."""
    app = FastAPI()
    errors.install(app)
    app.add_middleware(Door)
    app.include_router(ohif.router)
    app.include_router(tiny.router)
    app.mount("/static", StaticFiles(directory=Path(api.__path__[0]) / "static"))
    with served(app) as address:
        monkeypatch.setenv("LABWIRE_PUBLIC_URL", address)
        settings.cache_clear()
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        window = Window(context.new_page())
        window.page.goto(viewer_url(STUDY, TOKEN, 3600))
        yield window
        context.close()
    settings.cache_clear()


def test_ohif_shows_the_pixels_asks_nobody_else_and_sends_the_token_as_a_header(
    chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = TinyServer((UNCOMPRESSED, JPEG_2000))
    with opened(chromium, tiny, monkeypatch) as window:
        page, (tomography, resonance) = window.page, tiny.instances
        assert window.shows(tomography.pixel_array)
        assert not window.shows(resonance.pixel_array, within=0.1)
        assert "token" not in page.url
        assert page.locator("img[src^='blob:']").count() == 2  # thumbnails

        page.get_by_text(JPEG_2000[:10]).first.dblclick()
        assert window.shows(resonance.pixel_array)

        page.reload()
        assert window.shows(tomography.pixel_array)
        assert "token" not in page.url

    origin = origin_of(page.url)
    assert [url for url in window.asked if not url.startswith((origin, "blob:", "data:"))] == []
    assert {given for _, given in tiny.seen} == {f"Bearer {TOKEN}"}
    assert {path.rsplit("/", 1)[-1] for path, _ in tiny.seen} == {"studies", "series", "metadata", "thumbnail", "1"}
    assert window.complaints == []


def test_a_link_that_ends_leaves_the_open_picture_says_so_and_shows_nothing_more(
    chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = TinyServer((UNCOMPRESSED, JPEG_2000))
    with opened(chromium, tiny, monkeypatch) as window:
        said = window.page.get_by_role("alert").get_by_text("This link has ended")
        assert window.shows(tiny.instances[0].pixel_array)
        assert not said.count()
        tiny.is_revoked = True
        window.page.get_by_text(JPEG_2000[:10]).first.dblclick()
        said.wait_for()
        assert not window.shows(tiny.instances[1].pixel_array, within=0.5)

        before = len(tiny.seen)
        window.page.reload()
        said.wait_for()
        assert not window.shows(tiny.instances[0].pixel_array, within=0.5)
    assert not any("frames" in path or "metadata" in path for path, _ in tiny.seen[before:])


def origin_of(url: str) -> str:
    """Scheme, host and port with the slash behind them."""
    return "/".join(url.split("/")[:3]) + "/"
