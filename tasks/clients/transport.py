"""The one HTTP transport to outside systems: what every adapter's requests go through.

Failures become the errors of `models.kernel.errors`, by what the caller may do:

- UnavailableError: the request was not sent (no connection, no name, no trust, breaker open).
- RetryableError: the answer says "not now": 408, 425, 429, 500, 503 and any other 5xx but the two below.
  `retry_after_seconds` is what the answer asked for.
- UnknownOutcomeError: the request went out and nobody can say whether it was acted on: time-out, connection lost, or a
  502 or 504, by which a gateway says that it lost the answer. A GET changes nothing and is Retryable in those cases.
- ConfigError: 401 and 403 with every key we have, or an address the guard refuses.
- RefusedError: any other 3xx or 4xx. Redirects are not followed: they would carry the key elsewhere.

No message holds a value that was sent or received.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import httpcore
import httpx

from models.kernel.errors import ConfigError, RefusedError, RetryableError, UnavailableError, UnknownOutcomeError
from models.kernel.settings import settings
from tasks.clients.address_guard import check_url
from tasks.clients.breaker import CircuitBreaker
from tasks.clients.network import GuardedNetwork
from tasks.clients.pool import Pool
from tasks.clients.retry_after import retry_after_seconds

CONNECTIONS = 8
CONNECT_SECONDS = 5.0
MAX_BYTES = 1_000_000
NOT_NOW = frozenset({408, 425, 429})
ANSWER_LOST = frozenset({502, 504})
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
SENT_FOR_NOTHING = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer, or a 404 where the caller asked for it. `is_cut`: the body was longer than allowed."""

    status: int
    body: bytes
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class System:
    """How to reach one outside system. `what` names it in messages; `keys` are headers, the one to try first first.

    `timeout_seconds` is how long it may be silent, and, but for connecting, how long an exchange may take in all.
    """

    what: str
    url: str
    keys: Sequence[Mapping[str, str]] = ()
    timeout_seconds: float = 10
    connections: int = CONNECTIONS
    max_bytes: int = MAX_BYTES


class Transport(httpx.AsyncHTTPTransport):
    """httpx's transport over guarded connections, for use with a client (OAuth2, SOAP) or by `OutsideSystem`."""

    def __init__(self, system: System) -> None:
        """ConfigError when the address is not acceptable. No proxy is used, whatever the environment says."""
        check_url(system.url, what=system.what)
        is_plain = system.url.startswith("http:")
        context = _trust(settings().outside_ca_file)
        super().__init__(verify=context, trust_env=False)
        # httpx has no way to hand in a network; a test pins that this is where its connections come from.
        self._pool = Pool(  # type: ignore[assignment]  # it does what httpx asks of httpcore's
            httpcore.URL(system.url).origin,
            most=system.connections,
            context=context,
            network=GuardedNetwork(system.what, is_plain=is_plain),
            what=system.what,
        )


class OutsideSystem:
    """One outside system: its connections, keys and breaker. One per system and run; close it."""

    def __init__(self, system: System, *, breaker: CircuitBreaker | None = None) -> None:
        self.system = system
        self.breaker = breaker or CircuitBreaker(system.what)
        self._transport = Transport(system)
        self._keys = list(system.keys) or [{}]
        self._base = system.url.rstrip("/")
        seconds = system.timeout_seconds
        connect_seconds = min(CONNECT_SECONDS, seconds)
        limits = {"connect": connect_seconds, "read": seconds, "write": seconds, "pool": None}
        self._deadline_seconds = connect_seconds + seconds
        self._extensions: dict[str, Any] = {"timeout": limits}

    @property
    def longest_seconds(self) -> float:
        """How long one request may take in all."""
        return self._deadline_seconds

    async def get(self, path: str, *, is_missing_answer: bool = False) -> Answer:
        """GET below the system's address. With `is_missing_answer` a 404 is an answer like another."""
        return await self._call("GET", path, None, {}, is_missing_answer)

    async def post(self, path: str, body: bytes, *, headers: Mapping[str, str]) -> Answer:
        """POST a JSON body below the system's address, once."""
        return await self._call("POST", path, body, {"content-type": "application/json", **headers}, False)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _call(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], is_missing_answer: bool
    ) -> Answer:
        self.breaker.check()
        try:
            answer, wait = await self._with_each_key(method, path, body, headers)
            self._judge(method, answer.status, wait, is_missing_answer)
        except (RefusedError, ConfigError):
            self.breaker.succeeded()
            raise
        except (RetryableError, UnknownOutcomeError):
            self.breaker.failed()
            raise
        except BaseException:
            self.breaker.gave_up()
            raise
        self.breaker.succeeded()
        return answer

    async def _with_each_key(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[Answer, float | None]:
        """Ask with the first key; a 401 says that it was not acted on, so that the next one may be tried."""
        keys = tuple(self._keys)
        for key in keys:
            answer, wait = await self._exchange(method, path, body, {**headers, **key})
            if answer.status != 401:
                if key is not self._keys[0]:
                    self._keys.sort(key=lambda one: one is not key)  # this one first from now on
                break
        return answer, wait

    async def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[Answer, float | None]:
        what = self.system.what
        try:
            request = httpx.Request(
                method, self._base + path, content=body, headers=headers, extensions=self._extensions
            )
            async with asyncio.timeout(self._deadline_seconds):
                response = await self._transport.handle_async_request(request)
                try:
                    content, is_cut = await _read(response, self.system.max_bytes)
                finally:
                    await response.aclose()
        # `from None`: the causes quote what was sent and received.
        except NOT_SENT as failed:
            raise UnavailableError(f"{what}: {_why_not_sent(failed)}; nothing was sent") from None
        except SENT_FOR_NOTHING as failed:
            raise self._lost(method, "no answer in time" if _is_late(failed) else "connection lost") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError):
            raise ConfigError(f"{what}: the address or a header is not acceptable") from None
        return Answer(response.status_code, content, is_cut), retry_after_seconds(response.headers.get("retry-after"))

    def _judge(self, method: str, status: int, wait: float | None, is_missing_answer: bool) -> None:
        """Return for an answer the caller wants; else raise what the status means (see above)."""
        what = self.system.what
        if 200 <= status < 300 or (status == 404 and is_missing_answer):
            return
        if status in ANSWER_LOST:
            raise self._lost(method, f"a gateway answered {status}")
        if status in NOT_NOW or status >= 500:
            if wait is not None:
                self.breaker.pause(wait)
            raise RetryableError(f"{what}: answered {status}", retry_after_seconds=wait)
        if status in (401, 403):
            raise ConfigError(f"{what}: answered {status}; its key is not accepted")
        if 300 <= status < 400:
            raise RefusedError(f"{what}: answered {status}; redirects are not followed")
        raise RefusedError(f"{what}: answered {status}")

    def _lost(self, method: str, why: str) -> RetryableError | UnknownOutcomeError:
        if method == "GET":
            return RetryableError(f"{self.system.what}: {why}")
        return UnknownOutcomeError(f"{self.system.what}: {why}; it may have been acted on")


async def _read(response: httpx.Response, limit: int) -> tuple[bytes, bool]:
    """The body, or its first `limit` bytes and True. Compressed answers are not asked for and not unpacked."""
    parts, length = [], 0
    async for part in cast(AsyncIterable[bytes], response.stream):
        parts.append(part)
        length += len(part)
        if length > limit:
            return b"".join(parts)[:limit], True
    return b"".join(parts), False


def _why_not_sent(failed: Exception) -> str:
    cause: BaseException | None = failed
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate is not trusted"
        cause = cause.__cause__ or cause.__context__
    return "no connection in time" if isinstance(failed, httpx.TimeoutException) else "no connection"


def _is_late(failed: BaseException) -> bool:
    return isinstance(failed, httpx.TimeoutException | TimeoutError)


@lru_cache(maxsize=4)
def _trust(private_ca: Path | None) -> ssl.SSLContext:
    """The public authorities, and the private one where set; shared, for loading them takes tens of milliseconds."""
    context = httpx.create_ssl_context(trust_env=False)
    if private_ca is not None:
        try:
            context.load_verify_locations(cafile=private_ca)
        except (OSError, ssl.SSLError) as wrong:
            raise ConfigError("LABWIRE_OUTSIDE_CA_FILE is not a readable file of certificates") from wrong
    return context
