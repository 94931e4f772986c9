"""Which addresses the hub may call: decided on the URL, and again on every address actually connected to.

A name that resolves to a forbidden address is refused when connecting, so that changing what a name resolves to gains
nothing. Local networks are allowed: that is where instruments are.
"""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import httpcore

from models.kernel.errors import ConfigError

Address = IPv4Address | IPv6Address
# Services that hand out a machine's credentials: the clouds' metadata addresses that are not link-local anyway.
# Azure: learn.microsoft.com "What is IP address 168.63.129.16"; Alibaba: "Instance metadata"; AWS: "IMDS over IPv6".
METADATA = frozenset(map(ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")))


def check_url(url: str, *, what: str) -> None:
    """ConfigError unless `url` is https, or http to this very machine, and holds no credentials; `what` names it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError(f"{what}: the address is not readable") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{what}: the address must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{what}: the address must not hold credentials")
    if parts.query or parts.fragment:
        raise ConfigError(f"{what}: the address must end with its path")
    if parts.scheme == "http" and not _is_loopback_name(host):
        raise ConfigError(f"{what}: plain http is for this machine alone; use https")
    literal = _literal(host)
    if literal is not None:
        check_address(literal, is_plain=parts.scheme == "http", what=what)


def check_address(address: Address, *, is_plain: bool, what: str) -> None:
    """ConfigError for addresses that are never an outside system; a plain connection must stay on this machine."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if is_plain and not address.is_loopback:
        raise ConfigError(f"{what}: plain http is for this machine alone; use https")
    is_odd = address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA
    if is_odd or (address.is_reserved and not address.is_loopback):
        raise ConfigError(f"{what}: this address is not one an outside system can have")


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only; the certificate is still checked against the name in the URL."""

    def __init__(self, what: str, *, is_plain: bool) -> None:
        self._what, self._is_plain = what, is_plain
        self._inner = httpcore.AnyIOBackend()

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
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                failure = failed
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Never: outside systems are reached by TCP."""
        raise ConfigError(f"{self._what}: a socket file is not an outside system")

    async def sleep(self, seconds: float) -> None:
        """Part of the interface."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int, seconds: float | None) -> list[Address]:
        literal = _literal(host)
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


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback_name(host: str) -> bool:
    literal = _literal(host)
    return host == "localhost" or (literal is not None and literal.is_loopback)
