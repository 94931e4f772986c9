"""Photographs as both viewers draw them: upright, their colours where they belong; the small pictures of the list."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.imaging.browsing import Desks, desks_of
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import ct
from tests.imaging.viewer_browser import SETTLE_SECONDS, drawing_chromium

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
expect.set_options(timeout=SETTLE_SECONDS * 1000)
COLOURS = {"R": (220, 40, 40), "G": (40, 190, 60), "B": (40, 60, 220), "W": (240, 240, 240), " ": (0, 0, 0)}
SHOWN = {"photo.jpg": "RG/BW", "scan.png": "GB/WR", "sideways.jpg": "BW/RG"}
"""The colours of the quarters of each picture, as a person should see them."""
LYING, STANDING = (120, 80), (80, 120)
TURN_RIGHT = 6
"""EXIF orientation: to be turned to the right by a quarter when it is shown."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with drawing_chromium() as browser:
        yield browser


@pytest.fixture
def desks(clinic: Clinic, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desks]:
    with desks_of(clinic, chromium, monkeypatch) as made:
        yield made


def quartered(colours: str, size: tuple[int, int]) -> Image.Image:
    """A picture of four quarters."""
    width, height = size
    made = Image.new("RGB", size)
    for row, line in enumerate(colours.split("/")):
        for column, colour in enumerate(line):
            left, top = column * width // 2, row * height // 2
            made.paste(COLOURS[colour], (left, top, left + width // 2, top + height // 2))
    return made


def file_of(picture: Image.Image, kind: str, **more: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **more)
    return file.getvalue()


@pytest.fixture
def photographs(clinic: Clinic) -> int:
    """The study of an order with a JPEG, a PNG, and a JPEG of a camera that was held sideways."""
    upright = quartered(SHOWN["sideways.jpg"], STANDING)
    said = Image.Exif()
    said[0x0112] = TURN_RIGHT
    files = {
        "photo.jpg": file_of(quartered(SHOWN["photo.jpg"], LYING), "JPEG", quality=95),
        "scan.png": file_of(quartered(SHOWN["scan.png"], LYING), "PNG"),
        "sideways.jpg": file_of(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=said),
    }
    order_id = clinic.order(clinic.patient(), procedure="Photographs of the wound", modality="XC")
    form = {"radiology_order_id": str(order_id)}
    given = [("files", (name, content)) for name, content in files.items()]
    answer = clinic.technician.post("/api/v1/radiology/images", data=form, files=given)
    assert answer.status_code == 200, answer.text
    return int(clinic.rows("SELECT id FROM radiology_study")[0][0])


def seen_on(canvas: Locator) -> str:
    """The colours around the middle, and whether what is shown stands; empty while nothing is."""
    drawn = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB"), dtype=int)
    height, width = drawn.shape[:2]
    side = min(height, width)

    def colour(right: float, down: float) -> str:
        found = drawn[int(height / 2 + down * side), int(width / 2 + right * side)]
        return min(COLOURS, key=lambda name: int(np.abs(found - COLOURS[name]).sum()))

    near, far = 0.1, 0.42
    quarters = [colour(x, y) for y in (-near, near) for x in (-near, near)]
    if " " in quarters:
        return ""
    is_standing = colour(far, near) == " " != colour(near, far)
    return f"{''.join(quarters[:2])}/{''.join(quarters[2:])} {'standing' if is_standing else 'lying'}"


WANTED = {f"{colours} {'standing' if name == 'sideways.jpg' else 'lying'}" for name, colours in SHOWN.items()}


def gone_through(page: Page, canvas: Locator, next_one: Callable[[], None]) -> set[str]:
    """All that is shown while somebody goes through the images of the series."""
    found: set[str] = set()
    for _ in range(SETTLE_SECONDS * 5):
        if (seen := seen_on(canvas)) and seen not in found:
            found.add(seen)
            if len(found) == len(SHOWN):
                break
            next_one()
        page.wait_for_timeout(200)
    return found


def test_photographs_are_upright_and_in_their_colours_in_ohif(desks: Desks, clinic: Clinic, photographs: int) -> None:
    page = desks.guest()
    page.goto(clinic.doctor.get(f"/api/v1/radiology/studies/{photographs}/viewer-url/").json()["viewer_url"])
    canvas = page.locator("canvas").first
    canvas.wait_for(timeout=SETTLE_SECONDS * 1000)
    assert gone_through(page, canvas, lambda: page.keyboard.press("ArrowDown")) == WANTED


def test_photographs_are_upright_and_in_their_colours_in_the_light_viewer(
    desks: Desks, clinic: Clinic, photographs: int
) -> None:
    page = desks.enter("ada", "doctor")
    [(uid,)] = clinic.rows("SELECT study_uid FROM radiology_study")
    page.goto(f"/radiology/view/{uid}")
    expect(page.locator("#note-image")).to_contain_text("of 3")
    page.keyboard.press("Home")
    expect(page.locator("[data-shown$='/1']")).to_be_visible()  # it opened in the middle
    assert gone_through(page, page.locator("#canvas"), lambda: page.keyboard.press("ArrowDown")) == WANTED


def test_each_study_of_the_list_has_a_small_picture_that_loads(desks: Desks, clinic: Clinic, photographs: int) -> None:
    clinic.order(clinic.patient("P5"), accession_number="ACC5")
    store(clinic, ct(study_uid="1.2.3.4", series_uid="1.2.3.4.1", PatientID="P5", AccessionNumber="ACC5"))
    page = desks.enter("ada", "doctor")
    page.goto("/radiology/studies")
    rows = page.locator("table.studies tbody tr")
    expect(rows).to_have_count(2)
    for index in range(2):
        picture = rows.nth(index).locator("img")
        expect(picture).to_have_count(1)
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("(one) => one.naturalWidth") > 0
    assert desks.complaints == []
