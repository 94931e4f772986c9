"""TCP and TLS for the transport: connections to checked addresses only, and no more system calls than needed."""

import asyncio
import select
import socket
import ssl
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import httpcore

from models.kernel.errors import ConfigError
from tasks.clients.address_guard import Address, check_address, literal_address

MOST_UNSENT = 64 * 1024


class Stream(httpcore.AsyncNetworkStream):
    """One connection. What is written goes out with the next read: head and body of a request are one packet."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._unsent: list[bytes] = []
        self._unsent_length = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 # the interface's name
        """Some bytes, or none at the end of the stream."""
        if self._unsent:
            await self._send(timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError as error:
            raise httpcore.ReadError(type(error).__name__) from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Take bytes to be sent."""
        self._unsent.append(buffer)
        self._unsent_length += len(buffer)
        if self._unsent_length > MOST_UNSENT:
            await self._send(timeout)

    async def _send(self, seconds: float | None) -> None:
        unsent, self._unsent, self._unsent_length = b"".join(self._unsent), [], 0
        try:
            self._writer.write(unsent)
            async with asyncio.timeout(seconds):
                await self._writer.drain()
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except OSError as error:
            raise httpcore.WriteError(type(error).__name__) from None

    async def aclose(self) -> None:
        """Close the connection at once."""
        self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """The same connection, encrypted; the certificate must be the named host's."""
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError:
            self._writer.transport.abort()
            raise httpcore.ConnectTimeout from None
        except OSError as error:  # SSLError is one
            self._writer.transport.abort()
            raise httpcore.ConnectError(type(error).__name__) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks about a connection."""
        if info == "is_readable":  # of an idle connection: whether the other side has closed it
            return self._reader.at_eof() or _is_readable(self._writer.get_extra_info("socket"))
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._writer.get_extra_info(names.get(info, info))


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only; the certificate is still checked against the name in the URL."""

    def __init__(self, what: str, *, is_plain: bool) -> None:
        self._what, self._is_plain = what, is_plain

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # the interface's name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check, and connect to the first address that answers; `timeout` is for each step."""
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in await self._addresses(host, port, timeout):
            check_address(address, is_plain=self._is_plain, what=self._what)
            try:
                async with asyncio.timeout(timeout):
                    return Stream(*await asyncio.open_connection(str(address), port))
            except TimeoutError:
                failure = httpcore.ConnectTimeout("no connection in time")
            except OSError as error:
                failure = httpcore.ConnectError(type(error).__name__)
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Never: outside systems are reached by TCP."""
        raise ConfigError(f"{self._what}: a socket file is not an outside system")

    async def sleep(self, seconds: float) -> None:
        """Part of the interface."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int, seconds: float | None) -> list[Address]:
        literal = literal_address(host)
        if literal is not None:
            return [literal]
        try:
            async with asyncio.timeout(seconds):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from None
        except OSError:
            raise httpcore.ConnectError("the name is not known") from None
        return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def _is_readable(connection: Any) -> bool:
    if connection is None or connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
