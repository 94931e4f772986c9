"""People of a clinic at the API and the pages."""

from datetime import timedelta
from typing import Any

from starlette.testclient import TestClient

from models.kernel.clock import utc_now
from tests.api.helpers import make_user, signed_in
from tests.instruments.desk import Desk
from tests.vitals.conftest import Clinic

EVERY_ROLE = ("technician", "verifier", "doctor", "nurse", "supervisor", "administrator")


def person(clinic: Clinic, name: str, *roles: str) -> TestClient:
    """Somebody of these roles at the API; `user_id` is a header nobody reads."""
    user_id = make_user(clinic.tenant_id, f"{name}@{clinic.tenant_id}.example", *roles)
    browser = signed_in(f"{name}@{clinic.tenant_id}.example")
    browser.headers["X-Test-User"] = str(user_id)
    return browser


def user_of(browser: TestClient) -> int:
    """Their id."""
    return int(browser.headers["X-Test-User"])


def at_pages(browser: TestClient) -> Desk:
    """The same person at the pages."""
    browser.headers["Accept"] = "text/html"
    return Desk(browser, str(browser.headers.pop("X-CSRF-Token")), user_of(browser))


def moment(**ago: float) -> str:
    """So long ago, as a device says it."""
    return (utc_now() - timedelta(**ago)).replace(microsecond=0).isoformat()


def reading(**changed: Any) -> dict[str, Any]:
    """A reading of the device DEV001, of now."""
    return {"device_id": "DEV001", "timestamp": moment(seconds=5), "heart_rate": 75} | changed
