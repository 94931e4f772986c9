"""The whole way: a study is stored, its address given, and OHIF in Chromium shows its pixels, or nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pydicom
import pytest
from playwright.sync_api import Browser, BrowserContext
from pydicom.data import get_testdata_file
from sqlalchemy import text

from models.imaging.tickets import ViewerTicket, viewer_token
from models.kernel.settings import settings
from models.kernel.tenancy import owner_session
from tests.api.helpers import PASSWORD, app, make_user
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import ct
from tests.imaging.viewer_browser import SETTLE_SECONDS, Window, drawing_chromium, served

pytestmark = pytest.mark.browser
API = "/api/v1/radiology"
CLOSED = "This link has ended or does not open this study"
UNKNOWN = "One or more of the requested studies are not available"
FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


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


@dataclass(frozen=True)
class Shown:
    """A study of one image, as the clinic's doctor sees it."""

    clinic: Clinic
    id: int
    uid: str
    image: str
    """The image's path under /dicom-web/."""
    pixels: np.ndarray[Any, Any]

    def granted(self) -> tuple[int, str]:
        """A grant's number and the viewer's address."""
        made = self.clinic.doctor.post(f"{API}/studies/{self.id}/grants", json={}).json()
        return made["grant_id"], made["viewer_url"]


@pytest.fixture
def study(clinic: Clinic, address: str) -> Shown:
    """A slice of a CT, with its order."""
    path = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(path, str)
    tomography = pydicom.dcmread(path)
    order_id = clinic.order(clinic.patient(str(tomography.PatientID)))
    with open(path, "rb") as file:
        store(clinic, file.read())
    [(number,)] = clinic.rows("SELECT id FROM radiology_study")
    given = {"radiology_order_id": order_id}
    assert clinic.technician.post(f"{API}/studies/{number}/assign", json=given).status_code == 200
    uid, series = str(tomography.StudyInstanceUID), str(tomography.SeriesInstanceUID)
    image = f"/dicom-web/studies/{uid}/series/{series}/instances/{tomography.SOPInstanceUID}"
    return Shown(clinic, number, uid, image, tomography.pixel_array)


@contextmanager
def opened(browser: Browser, url: str, context: BrowserContext | None = None) -> Iterator[Window]:
    """The address, followed in a fresh browser."""
    context = context or browser.new_context(viewport={"width": 1280, "height": 800})
    window = Window(context.new_page())
    window.page.goto(url)
    yield window
    context.close()


def says_and_shows_nothing(window: Window, words: str) -> None:
    """Wait until the viewer says so and asks no more: it has asked for no frame and has drawn nothing."""
    said = window.page.get_by_text(words)
    end = time.monotonic() + SETTLE_SECONDS
    while not said.count():
        assert not asked_for_frames(window)
        assert time.monotonic() < end, f"the viewer does not say: {words}"
        window.page.wait_for_timeout(100)
    window.page.wait_for_load_state("networkidle")
    assert not asked_for_frames(window)
    assert window.likeness(np.eye(8)) == 0  # blank, or no viewport at all


def asked_for_frames(window: Window) -> list[str]:
    return [url for url in window.asked if "/frames/" in url]


def statuses(window: Window) -> set[int]:
    """How the hub answered the viewer's questions about images."""
    return {status for status, url in window.answers if "/dicom-web/" in url}


def token_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["token"][0]


def asked_with(window: Window, address: str, token: str, path: str) -> int:
    """The status of an answer to the token's bearer."""
    headers = {"Authorization": f"Bearer {token}"} | ({"Accept": FRAME} if "/frames/" in path else {})
    return window.page.context.request.get(address + path, headers=headers).status


def with_parameters(url: str, **given: str) -> str:
    """The address with other parameters."""
    parts = urlsplit(url)
    said = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return parts._replace(query=urlencode(said | given)).geturl()


def test_ohif_shows_the_pixels_by_a_good_address(chromium: Browser, study: Shown) -> None:
    _, url = study.granted()
    with opened(chromium, url) as window:
        assert window.shows(study.pixels)
        assert "token" not in window.page.url
        assert asked_for_frames(window)
    [grant] = study.clinic.technician.get(f"{API}/studies/{study.id}/grants").json()
    assert (grant["openings"], grant["requests"] > 3) == (1, True)


def revoked(study: Shown, grant_id: int, url: str) -> str:
    assert study.clinic.doctor.post(f"{API}/grants/{grant_id}/revoke").status_code == 200
    return url


def expired_in_the_database(study: Shown, grant_id: int, url: str) -> str:
    with owner_session() as session:
        session.execute(text("UPDATE viewer_grant SET expires_at = now() WHERE id = :id"), {"id": grant_id})
    return url


def expired_by_its_signed_time(study: Shown, grant_id: int, url: str) -> str:
    ticket = ViewerTicket(study.clinic.tenant_id, grant_id, int(time.time()) - 1)
    return with_parameters(url, token=viewer_token(ticket))


@pytest.mark.parametrize("close", [revoked, expired_in_the_database, expired_by_its_signed_time])
def test_ohif_shows_nothing_by_a_closed_address_and_says_so(
    chromium: Browser, study: Shown, close: Callable[[Shown, int, str], str]
) -> None:
    url = close(study, *study.granted())
    with opened(chromium, url) as window:
        says_and_shows_nothing(window, CLOSED)
        assert statuses(window) == {401}


def test_ohif_shows_nothing_by_the_token_of_another_study(chromium: Browser, study: Shown, address: str) -> None:
    clinic = study.clinic
    clinic.order(clinic.patient("P5"), accession_number="ACC5")
    other = "1.2.826.0.1.3680043.8.498.5"
    store(clinic, ct(study_uid=other, series_uid=f"{other}.1", PatientID="P5", AccessionNumber="ACC5", size=64))
    [(number,)] = clinic.rows("SELECT id FROM radiology_study WHERE study_uid = :uid", uid=other)
    _, of_other = Shown(clinic, number, other, "", study.pixels).granted()
    with opened(chromium, with_parameters(of_other, studyInstanceUIDs=study.uid)) as window:
        says_and_shows_nothing(window, UNKNOWN)
        assert statuses(window) == {200, 404}  # it finds nothing, and the series are not there
        read = partial(asked_with, window, address)
        paths = [f"{study.image}/metadata", f"{study.image}/frames/1"]
        assert [read(token_of(of_other), path) for path in paths] == [404, 404]
        assert [read(token_of(study.granted()[1]), path) for path in paths] == [200, 200]


@pytest.fixture
def without_tokens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_RADIOLOGY_SIGNED_URLS", "false")
    settings.cache_clear()


def test_without_signed_addresses_ohif_opens_for_whoever_is_signed_in_and_for_nobody_else(
    chromium: Browser, address: str, without_tokens: None, study: Shown
) -> None:
    url = study.clinic.doctor.get(f"{API}/studies/{study.id}/viewer-url/").json()["viewer_url"]
    assert "token" not in url
    with opened(chromium, url) as window:
        says_and_shows_nothing(window, CLOSED)
        assert statuses(window) == {401}
    email = "ada@north.example"
    make_user(study.clinic.tenant_id, email, "doctor")
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{address}/login")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda where: "/login" not in where)
    bearers = []
    context.on("request", lambda request: bearers.append(request.headers.get("authorization")))
    with opened(chromium, url, context) as window:
        assert window.shows(study.pixels)
        assert statuses(window) <= {200}
    assert set(bearers) == {None}
