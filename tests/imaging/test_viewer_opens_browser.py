"""The whole way: a study is stored, its address given, and OHIF in Chromium shows its pixels, or nothing."""

from collections.abc import Iterator

import pydicom
import pytest
from playwright.sync_api import Browser
from pydicom.data import get_testdata_file
from sqlalchemy import text

from models.kernel.settings import settings
from models.kernel.tenancy import owner_session
from tests.api.helpers import app
from tests.imaging.conftest import Clinic
from tests.imaging.viewer_browser import Window, drawing_chromium, served

pytestmark = pytest.mark.browser
API = "/api/v1/radiology"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with drawing_chromium() as browser:
        yield browser


@pytest.fixture
def address(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The hub at a real address."""
    with served(app()) as url:
        monkeypatch.setenv("LABWIRE_PUBLIC_URL", url)
        settings.cache_clear()
        yield url


def test_ohif_shows_the_pixels_by_a_good_address_and_nothing_by_a_closed_one(
    chromium: Browser, clinic: Clinic, address: str
) -> None:
    path = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(path, str)
    tomography = pydicom.dcmread(path)
    order_id = clinic.order(clinic.patient(str(tomography.PatientID)))
    with open(path, "rb") as file:
        assert clinic.stow(file.read()).status_code == 200
    [study] = clinic.rows("SELECT id FROM radiology_study")
    given = {"radiology_order_id": order_id}
    assert clinic.technician.post(f"{API}/studies/{study.id}/assign", json=given).status_code == 200

    def granted() -> tuple[int, str]:
        made = clinic.doctor.post(f"{API}/studies/{study.id}/grants", json={}).json()
        return made["grant_id"], made["viewer_url"]

    def opened(url: str) -> Window:
        window = Window(chromium.new_context(viewport={"width": 1280, "height": 800}).new_page())
        window.page.goto(url)
        return window

    good, url = granted()
    window = opened(url)
    assert window.shows(tomography.pixel_array)
    assert "token" not in window.page.url
    window.page.context.close()
    [grant] = clinic.technician.get(f"{API}/studies/{study.id}/grants").json()
    assert (grant["openings"], grant["requests"] > 3) == (1, True)
    for close in ("revoke", "expire"):
        other, url = granted()
        if close == "revoke":
            assert clinic.doctor.post(f"{API}/grants/{other}/revoke").status_code == 200
        else:
            with owner_session() as session:
                wanted = text("UPDATE viewer_grant SET expires_at = now() WHERE id = :id")
                session.execute(wanted, {"id": other})
        window = opened(url)
        assert not window.shows(tomography.pixel_array, within=3)
        window.page.context.close()
    assert other > good
