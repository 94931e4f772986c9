"""What every request passes: a bound on its body, headers on its answer, a count, and no values in the server's log."""

import re
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from fnmatch import translate
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.errors import MEANING, answer
from api.metrics import count_request
from models.kernel.errors import LabwireError
from models.kernel.settings import settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = 4 * 1024 * 1024
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = [
    (name.lower().encode(), value.encode())
    for name, value in {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }.items()
]
ONE_YEAR_SECONDS = 31_536_000
ROOT = Path(__file__).parent.parent


class UnexpectedError(LabwireError):
    """A mistake of ours, told without the values its message may hold: its class and the lines it passed."""


class Door:
    """Every request goes through here, and every answer comes out of here.

    `large_bodies` are paths whose routes read their bodies piece by piece and bound them themselves: the beginnings of
    some where they end in `/`, else whole ones, in which `*` is anything.
    """

    def __init__(self, app: App, large_bodies: tuple[str, ...] = ()) -> None:
        self.app = app
        patterns = [translate(path + "*" if path.endswith("/") else path) for path in large_bodies]
        self._large_bodies = re.compile("|".join(patterns)) if patterns else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_more_headers(message, scope)]
            await send(message)

        try:
            await self._handle(scope, receive, send_with_headers)
        except Exception as error:
            if not status:
                # The server closes the connection after this: a client that was not told would lose its next request.
                response = answer(Request(scope), 500, MEANING[500], headers={"Connection": "close"})
                await response(scope, receive, send_with_headers)
            if isinstance(error, LabwireError) or settings().debug_errors:
                raise
            raise UnexpectedError(where(error)) from None
        finally:
            count_request(scope, status or 500, time.perf_counter() - started)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        may_be_large = self._large_bodies is not None and self._large_bodies.match(scope["path"]) is not None
        refused = _refused(scope, may_be_large=may_be_large)
        if refused:
            response = answer(Request(scope), refused, MEANING[refused], headers={"Connection": "close"})
            await response(scope, receive, send)
        else:
            await self.app(scope, receive if may_be_large else _bounded(receive), send)


def _refused(scope: Scope, *, may_be_large: bool) -> int | None:
    """The status a request is refused with before anything looks at it."""
    length = Headers(scope=scope).get("content-length", "")
    if not may_be_large and length.isdigit() and (len(length) > 12 or int(length) > MOST_BODY_BYTES):
        return 413
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        return 400
    return None


def _bounded(receive: Receive) -> Receive:
    """The same, but a body that turns out longer than it said, or did not say how long it is, stops here."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > MOST_BODY_BYTES:
                raise HTTPException(413)
        return message

    return bounded


def _more_headers(message: Message, scope: Scope) -> Iterator[tuple[bytes, bytes]]:
    """Those of ours that the answer has not set itself."""
    there = {name.lower() for name, _ in message.get("headers", ())}
    for header in HEADERS:
        if header[0] not in there:
            yield header
    if b"cache-control" not in there:
        is_versioned = scope["path"].startswith("/static/") and b"v=" in scope["query_string"]
        yield b"cache-control", b"public, max-age=%d, immutable" % ONE_YEAR_SECONDS if is_versioned else b"no-store"
    if b"strict-transport-security" not in there and settings().base_url.startswith("https://"):
        yield b"strict-transport-security", b"max-age=%d" % ONE_YEAR_SECONDS


def where(error: BaseException) -> str:
    """The error's class and the last lines it passed: what a developer needs, and nothing a patient would mind."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    cause = getattr(error, "orig", None)
    name = type(error).__name__ + (f" ({type(cause).__name__})" if cause is not None else "")
    lines = [f"{frame.filename.removeprefix(f'{ROOT}/')}:{frame.lineno} {frame.name}" for frame in frames]
    return f"{name} at " + " < ".join(reversed(lines))
