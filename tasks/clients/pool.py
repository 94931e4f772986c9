"""The connections to one origin: one for each request under way, the last used one taken first."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import httpcore

from models.kernel.errors import ConfigError

IDLE_SECONDS = 2.0  # shorter than servers keep idle connections: one they just closed would make an outcome unknown


class Pool:
    """Up to `most` connections to one origin; a request waits for one that is free.

    httpcore's own pool looks at every connection for every request, several system calls each: half of the time a
    request takes here.
    """

    def __init__(
        self,
        origin: httpcore.Origin,
        *,
        most: int,
        context: ssl.SSLContext,
        network: httpcore.AsyncNetworkBackend,
        what: str,
    ) -> None:
        self._origin, self._context, self._network, self._what = origin, context, network, what
        self._slots = asyncio.Semaphore(most)
        self._idle: list[httpcore.AsyncHTTPConnection] = []

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send over a free connection; ConfigError for another origin, to which our keys are not sent."""
        if request.url.origin != self._origin:
            raise ConfigError(f"{self._what}: a request to another address was refused")
        await self._slots.acquire()
        connection = await self._take()
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await self._give_back(connection)
            raise
        stream = _Body(response, self, connection)
        return httpcore.Response(
            response.status, headers=response.headers, content=stream, extensions=response.extensions
        )

    async def _take(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_idle() and not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore.AsyncHTTPConnection(
            self._origin, ssl_context=self._context, keepalive_expiry=IDLE_SECONDS, network_backend=self._network
        )

    async def _give_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        """Keep a connection that can serve again; let the next request go."""
        self._slots.release()
        if connection.is_idle() and not connection.is_closed():
            self._idle.append(connection)
        else:
            await connection.aclose()

    async def aclose(self) -> None:
        """Close the idle connections; those in use are closed with their answers."""
        while self._idle:
            await self._idle.pop().aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Body:
    """An answer's body, after which its connection is free again."""

    def __init__(self, response: httpcore.Response, pool: Pool, connection: httpcore.AsyncHTTPConnection) -> None:
        self._response, self._pool, self._connection = response, pool, connection
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._response.aiter_stream()

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            try:
                await self._response.aclose()
            finally:
                await self._pool._give_back(self._connection)
