"""Another OHIF's pages may read /dicom-web/ with a token, and nobody else's pages may read anything."""

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.imaging.cross_origin import origins
from models.kernel.errors import ConfigError
from models.kernel.settings import settings
from tests.api.helpers import BASE, make_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct

pytestmark = pytest.mark.api
OTHER = "https://viewer.example.org"
ASKING = {"Origin": OTHER, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture
def browser(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """At a hub that knows the other viewer's origin, with a token."""
    monkeypatch.setenv("LABWIRE_RADIOLOGY_CORS_ORIGINS", f"{OTHER}/, http://127.0.0.1:3000")
    settings.cache_clear()
    clinic.stow(ct())
    token = make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"]))
    return TestClient(create_app(), base_url=BASE, headers={"Authorization": f"Bearer {token}"})


def test_pages_of_the_named_origin_may_ask_and_read(browser: TestClient) -> None:
    asked = browser.options("/dicom-web/studies", headers=ASKING)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, OTHER)
    read = browser.get("/dicom-web/studies", headers={"Origin": OTHER})
    assert (read.status_code, read.headers["Access-Control-Allow-Origin"]) == (200, OTHER)
    assert read.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Allow-Credentials" not in read.headers
    refused = browser.get("/dicom-web/studies", headers={"Origin": OTHER, "Authorization": "Bearer nobody"})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, OTHER)


def test_nobody_elses_pages_and_nothing_else_of_the_hub(browser: TestClient) -> None:
    stranger = ASKING | {"Origin": "https://evil.example.org"}
    assert browser.options("/dicom-web/studies", headers=stranger).status_code == 400
    assert (
        "Access-Control-Allow-Origin"
        not in browser.get("/dicom-web/studies", headers={"Origin": "https://evil.example.org"}).headers
    )
    storing = ASKING | {"Access-Control-Request-Method": "POST"}
    assert browser.options("/dicom-web/studies", headers=storing).status_code == 400
    for path in ("/api/v1/radiology/studies/", "/patients", "/viewer/"):
        answer = browser.get(path, headers={"Origin": OTHER})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "wrong", ["*", "viewer.example.org", "https://viewer.example.org/path", "https://*.example.org"]
)
def test_what_is_no_origin_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(ConfigError, match="LABWIRE_RADIOLOGY_CORS_ORIGINS"):
        origins(wrong)
