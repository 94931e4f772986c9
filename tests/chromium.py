"""The browser of the tests: Debian's Chromium, without windows (`chromium-headless-shell`) where that is installed.

It computes a third less: 46 tests ran 164 s with the whole browser, 105 s with its shell.
"""

import os
import shutil
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, Playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def lacking(reason: str) -> NoReturn:
    """Skip the test for what is not here, or fail it where LABWIRE_REQUIRE_BROWSER is 1."""
    if os.environ.get("LABWIRE_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def launched(playwright: Playwright, *arguments: str) -> Browser:
    """Chromium with these arguments; without one the test is skipped, or fails."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        lacking(f"there is no {', '.join(NAMES)} on PATH")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=path, args=[*arguments, *sandbox])
