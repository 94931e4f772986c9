"""People at their browsers, and the runs a worker would do between two clicks."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from api.app import create_app
from models.kernel.settings import settings
from tests.api.helpers import PASSWORD, make_user
from tests.instruments.world import World

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
EXPECTED_NOISE = ("status of 409", "status of 422")
"""Chromium notes every refused form on its console."""


@contextmanager
def pages_served(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real server with all pages, at an address of its own that the settings know."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setenv("LABWIRE_API_PORT", str(port))
        settings.cache_clear()
        server = uvicorn.Server(uvicorn.Config(create_app(), log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(10)


class Windows:
    """Browsers before the pages at an address. `complaints` are errors that scripts or the security policy met."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.address = address
        self.complaints: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def sign_in(self, email: str, password: str, **options: Any) -> Page:
        """Somebody signed in through the sign-in page."""
        page = self.guest(**options)
        page.goto("/login")
        page.get_by_label("E-mail address").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda address: "/login" not in address)
        return page

    def guest(self, **options: Any) -> Page:
        """A browser nobody has signed in with."""
        context = self._browser.new_context(base_url=self.address, **{"viewport": WIDE} | options)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.set_default_timeout(30_000)
        return page

    def close(self) -> None:
        """Close every browser window."""
        for context in self._contexts:
            context.close()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(noise in message.text for noise in EXPECTED_NOISE):
            self.complaints.append(message.text)


class Site(Windows):
    """The pages of one laboratory, and its people."""

    def __init__(self, world: World, browser: Browser, address: str) -> None:
        super().__init__(browser, address)
        self.world = world
        self._known: set[str] = set()

    def enter(self, name: str, *roles: str, **options: Any) -> Page:
        """Somebody of these roles, signed in; made when first named."""
        email = f"{name}@browser.example"
        if name not in self._known:
            make_user(self.world.lab.tenant_id, email, *roles)
            self._known.add(name)
        return self.sign_in(email, PASSWORD, **options)


def run(flow: Callable[..., Coroutine[Any, Any, Any]], **parameters: Any) -> None:
    """Do what a flow does, in a thread of its own: Playwright has the loop of this one."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(flow(**parameters))
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert failed == []
