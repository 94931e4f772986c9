"""Pages about images in Chromium: a real server at an address of its own, and people of the clinic before it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page

from tests.api.helpers import PASSWORD, make_user
from tests.browser.people import Windows, pages_served
from tests.imaging.conftest import Clinic


class Desks(Windows):
    """The pages of one clinic, and its people."""

    def __init__(self, clinic: Clinic, browser: Browser, address: str) -> None:
        super().__init__(browser, address)
        self.clinic = clinic

    def enter(self, name: str, *roles: str, **options: object) -> Page:
        """Somebody of these roles, signed in."""
        email = f"{name}@{self.clinic.slug}.example"
        make_user(self.clinic.tenant_id, email, *roles)
        return self.sign_in(email, PASSWORD, **options)


@contextmanager
def desks_of(clinic: Clinic, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desks]:
    """The pages of that clinic at an address of their own."""
    with pages_served(monkeypatch) as address:
        made = Desks(clinic, browser, address)
        try:
            yield made
        finally:
            made.close()
