"""A real server with real pages, and Chromium in front of it."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from deployments.simulators.instrument import SimulatedInstrument
from tests.browser.people import Site, pages_served
from tests.conftest import Database
from tests.instruments.helpers import make_lab
from tests.instruments.world import SETTINGS, World

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without one the test is skipped, or fails where LABWIRE_REQUIRE_BROWSER is 1.

    One for a module: Playwright keeps an event loop running, beside which no other test could start one.
    """
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        reason = f"there is no {', '.join(NAMES)} on PATH"
        if os.environ.get("LABWIRE_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        try:
            browser.close()
        except Error:  # it has ended already
            return


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    """One laboratory with an analyser that is done at once, but is asked for results by people alone."""
    with SimulatedInstrument(**SETTINGS) as instrument:
        made = World(make_lab(), {})
        made.connect(instrument, name="Hematology Analyzer XYZ", supports_auto_fetch=False)
        yield made


@pytest.fixture
def site(world: World, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The pages of that laboratory at an address of their own."""
    with pages_served(monkeypatch) as address:
        made = Site(world, chromium, address)
        try:
            yield made
        finally:
            made.close()
    assert made.complaints == []
