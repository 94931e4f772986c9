"""A real server with real pages, and Chromium in front of it."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from deployments.simulators.instrument import SimulatedInstrument
from tests.browser.people import Site, pages_served
from tests.chromium import launched
from tests.conftest import Database
from tests.instruments.helpers import make_lab
from tests.instruments.world import SETTINGS, World


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for a module: Playwright keeps an event loop running, beside which no other test could start one."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        with suppress(Error):  # it has ended already
            browser.close()


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
