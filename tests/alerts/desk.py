"""People of the alerts' clinic at the pages."""

from tests.alerts.conftest import Clinic
from tests.api.helpers import make_user, signed_in
from tests.instruments.desk import Desk

EVERY_ROLE = ("technician", "verifier", "doctor", "nurse", "radiology_technician", "supervisor", "administrator")


def sit_down(clinic: Clinic, name: str, *roles: str) -> Desk:
    """A new user of these roles, signed in."""
    email = f"{name}@{clinic.tenant_id}.example"
    user_id = make_user(clinic.tenant_id, email, *roles)
    browser = signed_in(email)
    browser.headers["Accept"] = "text/html"
    return Desk(browser, str(browser.headers.pop("X-CSRF-Token")), user_id)
