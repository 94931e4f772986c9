"""Pages about images in Chromium: a real server at an address of its own, and people of the clinic before it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import uvicorn
from playwright.sync_api import Browser, Page

from api.app import create_app
from models.kernel.settings import settings
from tests.api.helpers import PASSWORD, make_user
from tests.browser.people import Windows
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
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setenv("LABWIRE_API_PORT", str(port))
        settings.cache_clear()
        server = uvicorn.Server(uvicorn.Config(create_app(), log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        made = Desks(clinic, browser, f"http://127.0.0.1:{port}")
        try:
            yield made
        finally:
            made.close()
            server.should_exit = True
            thread.join(10)
