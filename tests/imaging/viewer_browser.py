"""Chromium that can draw with WebGL, our OHIF at a real address, and what it takes to judge what they show."""

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from api.imaging.ohif_files import is_ohif_here
from tests.chromium import lacking, launched

DRAWING = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
"""WebGL without a graphics card."""
SETTLE_SECONDS = 60


def need_viewer() -> None:
    """Skip the test where OHIF is missing, or fail it where LABWIRE_REQUIRE_BROWSER is 1."""
    if not is_ohif_here():
        lacking("OHIF was not fetched: `labwire viewer fetch` does it")


@contextmanager
def drawing_chromium() -> Iterator[Browser]:
    """One browser for a module: Playwright keeps an event loop, beside which no other test could start one."""
    need_viewer()
    with sync_playwright() as playwright:
        browser = launched(playwright, *DRAWING)
        yield browser
        browser.close()


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The application at an address of its own."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@dataclass
class Window:
    """A page of the viewer; `asked` is every address it asked for, `complaints` what scripts and policy met.

    `answers` are status and address of what came back.
    """

    page: Page
    asked: list[str] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(SETTLE_SECONDS * 1000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("response", lambda answer: self.answers.append((answer.status, answer.url)))
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def shows(self, pixels: np.ndarray[Any, Any], *, within: float = SETTLE_SECONDS) -> bool:
        """Whether, within so many seconds, the viewport shows this picture: grey values that go up and down with it."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            if self.likeness(pixels) > 0.9:
                return True
            self.page.wait_for_timeout(200)
        return False

    def likeness(self, pixels: np.ndarray[Any, Any]) -> float:
        """How well the middle square of the viewport correlates with a square picture; 0 where it is blank."""
        canvas = self.page.locator("canvas").first
        if not canvas.count():
            return 0
        seen = Image.open(io.BytesIO(canvas.screenshot())).convert("L")
        side = min(seen.size)
        left, top = (seen.width - side) // 2, (seen.height - side) // 2
        middle = seen.crop((left, top, left + side, top + side)).resize(pixels.shape[::-1], Image.Resampling.BOX)
        values = np.asarray(middle, dtype=float)
        if values.std() < 5:
            return 0
        return float(np.corrcoef(values.ravel(), pixels.astype(float).ravel())[0, 1])

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)
