"""The light viewer before somebody who has nothing but its address: a study of six slices, and a scout."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from models.kernel.settings import settings
from tests.browser.people import WIDE
from tests.imaging.browsing import Desks, desks_of
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import SERIES, ct
from tests.imaging.phantom import chest

AT = """([x, y]) => {
  const canvas = document.getElementById("canvas");
  return canvas.getContext("2d").getImageData(canvas.width * x, canvas.height * y, 1, 1).data[0];
}"""


@pytest.fixture
def desks(clinic: Clinic, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desks]:
    monkeypatch.setenv("LABWIRE_OHIF_VIEWER_URL", "")
    with desks_of(clinic, chromium, monkeypatch) as made:
        assert settings().ohif_viewer_url == ""
        yield made


@pytest.fixture
def address(clinic: Clinic, desks: Desks) -> str:
    """Of a study of six slices and a second series of one, for whoever has it."""
    clinic.order(clinic.patient(), accession_number="ACC1")
    second: dict[str, Any] = {"series_uid": f"{SERIES}2", "SeriesNumber": 2, "SeriesDescription": "Scout"}
    store(clinic, *(chest(n, 6, size=128, AccessionNumber="ACC1") for n in range(1, 7)))
    store(clinic, ct(1, AccessionNumber="ACC1", **second))
    (study_id,) = clinic.rows("SELECT id FROM radiology_study")[0]
    return str(clinic.doctor.get(f"/api/v1/radiology/studies/{study_id}/viewer-url/").json()["viewer_url"])


@pytest.fixture
def page(desks: Desks, address: str) -> Page:
    """The viewer before somebody who has nothing but the address."""
    page = desks.guest(viewport=WIDE)
    page.goto(address)
    shows(page, SERIES, 4)
    return page


def shows(page: Page, series: str, image: int) -> None:
    expect(page.locator("#viewer")).to_have_attribute("data-shown", f"{series}/{image}")


def becomes(page: Page, place: list[float], low: int, high: int) -> None:
    """The pixel there comes to lie between the two."""
    for _ in range(200):
        if low <= page.evaluate(AT, place) <= high:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"the pixel is {page.evaluate(AT, place)}")


def words_are(page: Page, image: int) -> None:
    """All that is said is of this image: beside the picture, and to whoever cannot see it."""
    expect(page.locator("#note-image")).to_have_text(f"CT · image {image} of 6")
    expect(page.locator("#canvas")).to_have_attribute("aria-label", f"Image {image} of 6, Axial")
