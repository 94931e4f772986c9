"""People of a clinic at the pages, without scripts."""

from starlette.testclient import TestClient

from tests.imaging.conftest import Clinic
from tests.instruments.desk import Desk


def at_desk(clinic: Clinic, *roles: str) -> Desk:
    """Somebody new of these roles."""
    browser: TestClient = clinic.person(*roles)
    browser.headers["Accept"] = "text/html"
    return Desk(browser, str(browser.headers.pop("X-CSRF-Token")), int(browser.headers["X-Test-User"]))


def store(clinic: Clinic, *files: bytes) -> None:
    """By STOW-RS, again where the server had no time: storing twice stores once."""
    for _ in range(5):
        if clinic.stow(*files).status_code == 200:
            return
    raise AssertionError("not stored")
