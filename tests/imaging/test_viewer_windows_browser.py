"""Words, choices and memory of the light viewer: windows of frames and palettes, series that load, large pictures."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from pydicom.dataset import Dataset

from tests.browser.conftest import chromium as chromium
from tests.browser.people import WIDE
from tests.imaging.browsing import Desks
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import SERIES, ct
from tests.imaging.light_viewer import address as address
from tests.imaging.light_viewer import desks as desks
from tests.imaging.light_viewer import shows, words_are
from tests.imaging.test_late_pictures_browser import SCOUT, Line

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
expect.set_options(timeout=20_000)
MEGABYTE = 1024 * 1024
LIVE = """() => {
  window.live = { now: 0, most: 0, made: 0 };
  const made = window.createImageBitmap, close = ImageBitmap.prototype.close;
  window.createImageBitmap = async (...given) => {
    const bitmap = await made(...given);
    live.now += 4 * bitmap.width * bitmap.height;
    live.most = Math.max(live.most, live.now);
    live.made += 1;
    return bitmap;
  };
  ImageBitmap.prototype.close = function () { live.now -= 4 * this.width * this.height; close.call(this); };
}"""
"""Bytes of pictures that are made and not given back yet."""


@pytest.fixture
def opened(clinic: Clinic, desks: Desks) -> Callable[..., Page]:
    """The viewer with the study of these files."""

    def opening(*files: bytes, shown: int = 1) -> Page:
        clinic.order(clinic.patient(), accession_number="ACC1")
        store(clinic, *files)
        (study_id,) = clinic.rows("SELECT id FROM radiology_study")[0]
        page = desks.guest(viewport=WIDE)
        page.goto(str(clinic.doctor.get(f"/api/v1/radiology/studies/{study_id}/viewer-url/").json()["viewer_url"]))
        shows(page, SERIES, shown)
        return page

    return opening


def window(page: Page) -> Any:
    return expect(page.locator("#note-window"))


def group(center: int | None = None, width: int = 100, slope: float | None = None) -> Dataset:
    """A functional group with a window, a slope, or both."""
    made, voi, transformation = Dataset(), Dataset(), Dataset()
    if center is not None:
        voi.WindowCenter, voi.WindowWidth = center, width
        made.FrameVOILUTSequence = [voi]
    if slope is not None:
        transformation.RescaleSlope, transformation.RescaleIntercept = slope, -1000
        made.PixelValueTransformationSequence = [transformation]
    return made


def enhanced(*per_frame: Dataset, shared: Dataset) -> bytes:
    """A file of several frames that says windows and slopes in its functional groups."""
    nothing: dict[str, Any] = dict.fromkeys(["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"])
    return ct(
        AccessionNumber="ACC1",
        NumberOfFrames=len(per_frame),
        PixelData=np.zeros((len(per_frame), 32, 32), "<i2").tobytes(),
        PerFrameFunctionalGroupsSequence=list(per_frame),
        SharedFunctionalGroupsSequence=[shared],
        **nothing,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
    )


def test_the_window_of_each_frame_is_the_one_of_its_functional_group(opened: Callable[..., Page]) -> None:
    page = opened(enhanced(group(100), group(700, 300), group(), shared=group(30, 60, slope=2)), shown=2)
    window(page).to_contain_text("C 700 W 300")
    page.keyboard.press("ArrowUp")
    window(page).to_contain_text("C 100 W 100")
    page.keyboard.press("End")
    window(page).to_contain_text("C 30 W 60")
    page.get_by_label("Window", exact=True).select_option(label="Full range (6)")
    window(page).to_contain_text("C 3095 W 8190")  # 0 to 4095, twice, less 1000
    page.keyboard.press("r")
    window(page).to_contain_text("C 30 W 60")
    page.mouse.move(640, 400)
    page.mouse.down()
    page.mouse.move(644, 400)
    page.mouse.up()
    window(page).to_contain_text("C 30 W 62")  # from where it was: half a unit a pixel


def palette(number: int = 1) -> bytes:
    colours: dict[str, Any] = {}
    for colour in ("Red", "Green", "Blue"):
        colours[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        colours[f"{colour}PaletteColorLookupTableData"] = (np.arange(256, dtype="<u2") * 256).tobytes()
    pixels = np.tile(np.arange(32, dtype="u1"), (32, 1))
    layout: dict[str, Any] = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    return ct(
        number,
        AccessionNumber="ACC1",
        PhotometricInterpretation="PALETTE COLOR",
        PixelData=pixels.tobytes(),
        **layout,
        **colours,
    )


def test_a_palette_has_colours_and_no_window(opened: Callable[..., Page]) -> None:
    page = opened(palette())
    window(page).to_contain_text("Colour")
    expect(page.locator("#presets")).to_be_disabled()


def test_grey_and_colours_in_one_series_are_each_offered_what_they_can_be_shown_under(
    desks: Desks, opened: Callable[..., Page]
) -> None:
    page = opened(ct(1, AccessionNumber="ACC1"), palette(2), ct(3, AccessionNumber="ACC1"), shown=2)
    presets = page.locator("#presets")
    expect(presets).to_be_disabled()
    page.keyboard.press("ArrowUp")
    shows(page, SERIES, 1)
    expect(presets).to_be_enabled()
    presets.select_option(label="Lung (3)")
    window(page).to_contain_text("C -600 W 1500")
    page.keyboard.press("ArrowDown")
    window(page).to_contain_text("Colour")
    expect(presets).to_be_disabled()
    expect(presets.locator("option:checked")).to_have_text("As stored (1)")
    page.keyboard.press("3")  # nothing of the kind is offered
    page.keyboard.press("ArrowDown")
    window(page).to_contain_text("C -600 W 1500")
    expect(presets.locator("option:checked")).to_have_text("Lung (3)")
    assert desks.complaints == []


def test_no_window_can_be_chosen_while_a_series_loads(desks: Desks, address: str) -> None:
    page = desks.guest(viewport=WIDE)
    line = Line(page)
    page.goto(address)
    shows(page, SERIES, 4)
    line.hold(f"{SCOUT}/metadata")
    page.get_by_role("button", name="Scout").click()
    line.wait(f"{SCOUT}/metadata")
    presets = page.locator("#presets")
    expect(presets).to_be_disabled()
    page.locator("#stage").focus()
    for key in "369":
        page.keyboard.press(key)
    presets.evaluate("(select) => { select.value = '2'; select.dispatchEvent(new Event('change')); }")
    line.release(f"{SCOUT}/metadata")
    shows(page, SCOUT, 1)
    expect(presets.locator("option:checked")).to_have_text("As stored (1)")
    window(page).to_contain_text("C 40 W 400")
    assert desks.complaints == []


def test_a_series_chosen_twice_while_it_loads_is_loaded_once_and_stays_where_it_was_scrolled(
    desks: Desks, address: str
) -> None:
    page = desks.guest(viewport=WIDE)
    line = Line(page)
    line.hold(f"{SERIES}/metadata")
    page.goto(address)
    line.wait(f"{SERIES}/metadata")
    page.locator("#series button").first.dblclick()
    page.wait_for_timeout(500)
    first, *others = line.held.pop(f"{SERIES}/metadata")
    first.continue_()
    page.wait_for_timeout(500)
    if not others:
        shows(page, SERIES, 4)
    page.keyboard.press("End")
    for route in others:
        route.continue_()
    page.wait_for_timeout(500)
    assert others == []
    shows(page, SERIES, 6)
    words_are(page, 6)


def test_an_image_that_is_not_there_is_told_as_that(desks: Desks, address: str) -> None:
    page = desks.guest(viewport=WIDE)
    page.route("**/*.1/rendered", lambda route: route.fulfill(status=404))
    page.goto(address)
    shows(page, SERIES, 4)
    page.keyboard.press("Home")
    expect(page.locator("#said")).to_have_text("There is no such image for you, or it has no picture.")
    desks.complaints.clear()  # Chromium notes the 404


def large(megabytes: int) -> bytes:
    """A PNG that takes so much memory once it is a picture."""
    file = io.BytesIO()
    Image.new("L", (1024, 256 * megabytes), 90).save(file, "PNG", compress_level=1)
    return file.getvalue()


def test_the_memory_of_pictures_is_bounded_and_what_is_drawn_stays(desks: Desks, address: str) -> None:
    page = desks.guest(viewport=WIDE)
    page.add_init_script(f"({LIVE})()")
    body, asked = large(80), list[str]()  # 21 million pixels, as a mammogram has
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/rendered*", lambda route: route.fulfill(content_type="image/png", body=body))
    page.goto(address)
    shows(page, SERIES, 4)
    for key, image in (("End", 6), ("Home", 1), ("ArrowDown", 2), ("ArrowDown", 3), ("ArrowDown", 4)):
        page.keyboard.press(key)
        shows(page, SERIES, image)
    page.keyboard.press("3")
    window(page).to_contain_text("C -600 W 1500")
    page.wait_for_timeout(1000)  # the neighbours come
    assert len([url for url in asked if "window=" in url]) == 2, "it, and the one neighbour there is room for"
    live = page.evaluate("live")
    assert live["made"] >= 6
    assert live["most"] <= (160 + 2 * 80) * MEGABYTE, "two are kept, and two may be on their way"
    assert live["now"] <= 192 * MEGABYTE
    page.set_viewport_size({"width": 1000, "height": 700})  # it is drawn again
    page.wait_for_timeout(300)
    assert desks.complaints == []


def test_neighbours_however_large_never_take_the_picture_that_is_drawn(desks: Desks, address: str) -> None:
    page = desks.guest(viewport=WIDE)
    page.add_init_script(f"({LIVE})()")
    body = large(150)
    for number in (1, 2, 3, 5, 6):
        page.route(f"**/{SERIES}.{number}/rendered*", lambda route: route.fulfill(content_type="image/png", body=body))
    page.goto(address)
    shows(page, SERIES, 4)
    page.wait_for_function("() => live.made >= 6")  # it, three neighbours, two thumbnails
    page.set_viewport_size({"width": 1000, "height": 700})
    page.wait_for_timeout(300)
    shows(page, SERIES, 4)
    assert page.evaluate("live.now") <= 192 * MEGABYTE
    assert desks.complaints == []
