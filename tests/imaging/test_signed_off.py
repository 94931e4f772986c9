"""Signed addresses switched off: which of those that are out end at once, and which live until their time."""

import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from api.imaging import image_routes
from models.kernel.settings import settings
from tests.api.helpers import client, with_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, ct
from tests.imaging.s3_servers import S3Server

pytestmark = pytest.mark.api
API = "/api/v1/radiology"


def set_to(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()


@pytest.fixture
def images(clinic: Clinic, swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """One image on the file system and one at S3, by where it lies, of one study that doctors see."""
    clinic.order(clinic.patient(), accession_number="A1")
    assert clinic.stow(ct(1, AccessionNumber="A1")).status_code == 200
    set_to(monkeypatch, **swift.environment())
    assert clinic.stow(ct(2, AccessionNumber="A1")).status_code == 200
    return {row.backend: row.id for row in clinic.rows("SELECT backend, id FROM radiology_image")}


def address(by: TestClient, number: int, seconds: int = 60) -> str:
    answer = by.get(f"{API}/images/{number}/url/", params={"expires_in": seconds})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["image_url"])


def test_those_of_files_and_viewers_end_at_once_and_those_of_s3_when_their_time_is_over(
    clinic: Clinic, images: dict[str, int], swift: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = address(clinic.doctor, images["filesystem"]), address(clinic.doctor, images["s3"])
    assert theirs.startswith(f"{swift.url}/")
    assert parse_qs(urlsplit(theirs).query)["X-Amz-Expires"] == ["60"]
    [study] = clinic.rows("SELECT id FROM radiology_study")
    given = clinic.doctor.get(f"{API}/studies/{study.id}/viewer-url/").json()["viewer_url"]
    viewer = with_token(parse_qs(urlsplit(given).query)["token"][0])
    seen = f"{API}/images/{images['s3']}/file"
    assert (client().get(ours).content, httpx.get(theirs).content) == (
        ct(1, AccessionNumber="A1"),
        viewer.get(seen).content,
    )

    with monkeypatch.context() as short:  # the least that is asked for is 30 s, which is long to wait
        short.setattr(image_routes, "seconds_of", lambda wanted: 3)
        ending, until = address(clinic.doctor, images["s3"]), time.monotonic() + 4.1
    set_to(monkeypatch, LABWIRE_RADIOLOGY_SIGNED_URLS="false")
    assert httpx.get(ending).status_code == 200
    assert (client().get(ours).status_code, viewer.get(seen).status_code) == (401, 401)
    assert (httpx.get(theirs).status_code, httpx.get(theirs).content) == (200, ct(2, AccessionNumber="A1"))
    time.sleep(max(0, until - time.monotonic()))
    assert httpx.get(ending).status_code == 403


def test_no_new_ones_are_given_of_either(
    clinic: Clinic, images: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to(monkeypatch, LABWIRE_RADIOLOGY_SIGNED_URLS="false")
    [study] = clinic.rows("SELECT id FROM radiology_study")
    [series] = clinic.doctor.get(f"{API}/studies/{study.id}/images/").json()["series"]
    listed = {image["image_uid"]: image["image_url"] for image in series["images"]}
    for number, backend in ((1, "filesystem"), (2, "s3")):
        given = address(clinic.doctor, images[backend])
        assert given == listed[f"{SERIES}.{number}"] == f"{settings().base_url}{API}/images/{images[backend]}/file"
        assert client().get(given).status_code == 401
        assert clinic.doctor.get(given).content == ct(number, AccessionNumber="A1")
