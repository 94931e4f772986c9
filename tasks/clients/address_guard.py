"""Which addresses the hub may call: decided on the URL, and again on every address actually connected to.

A name that resolves to a forbidden address is refused when connecting, so that changing what a name resolves to gains
nothing. Local networks are allowed: that is where instruments are.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from models.kernel.errors import ConfigError

Address = IPv4Address | IPv6Address
# Services that hand out a machine's credentials: the clouds' metadata addresses that are not link-local anyway.
# Azure: learn.microsoft.com "What is IP address 168.63.129.16"; Alibaba: "Instance metadata"; AWS: "IMDS over IPv6".
METADATA = frozenset(map(ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")))


def check_url(url: str, *, what: str) -> None:
    """ConfigError unless `url` is https, or http to this very machine, and holds no credentials; `what` names it."""
    if not url.isascii():
        raise ConfigError(f"{what}: the address is not ASCII; an international name is written as xn--...")
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
    literal = literal_address(host)
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


def literal_address(host: str) -> Address | None:
    """The address itself, where the host is one and not a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback_name(host: str) -> bool:
    literal = literal_address(host)
    return host == "localhost" or (literal is not None and literal.is_loopback)
