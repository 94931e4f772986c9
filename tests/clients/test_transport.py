"""The one transport: which addresses it calls, what it trusts, when it stops, and that no message holds a value."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from deployments.simulators.instrument import SimulatedInstrument
from models.kernel.errors import ConfigError, RefusedError, RetryableError, UnavailableError, UnknownOutcomeError
from models.kernel.settings import settings
from tasks.clients.address_guard import check_address, check_url
from tasks.clients.breaker import CircuitBreaker
from tasks.clients.network import GuardedNetwork
from tasks.clients.pool import Pool
from tasks.clients.retry_after import retry_after_seconds
from tasks.clients.transport import OutsideSystem, System, Transport, _trust

pytestmark = pytest.mark.contract

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(handler: Handler) -> Any:
    """A TCP server that answers as it likes; yields its address."""
    listening = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def answering(answer: bytes, *, cut: bool = False) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if cut:
            writer.close()

    return handle


@asynccontextmanager
async def outside(url: str, **given: Any) -> Any:
    system = OutsideSystem(System("system 7", url, **{"timeout_seconds": 0.5, **given}))
    try:
        yield system
    finally:
        await system.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "http://windows-lims.local:8080",
        "http://192.168.1.10",
        "http://[fe80::1]",
        "https://169.254.169.254",
        "https://[fe80::1]/api",
        "https://0.0.0.0",
        "https://[::]",
        "https://224.0.0.1",
        "https://168.63.129.16",
        "https://100.100.100.200",
        "https://[fd00:ec2::254]",
        "https://[::ffff:169.254.169.254]",
        "https://user:password@host",
        "https://host?x=1",
        "https://host#x",
        "https://host:port",
        "ftp://host",
        "host",
        "",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_may_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Transport(System("system 7", url))
    assert "password" not in str(refused.value)
    assert str(refused.value).startswith("system 7: ")


@pytest.mark.parametrize(
    "url",
    [
        "https://lims.example",
        "https://10.0.0.5:8443/base",
        "https://192.168.1.10",
        "http://127.0.0.1:80",
        "http://[::1]",
    ],
)
def test_local_networks_by_https_and_this_machine_are_fine(url: str) -> None:
    check_url(url, what="system 7")


async def test_a_name_that_leads_to_a_forbidden_address_is_refused_when_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with outside("https://harmless.example") as system:
        with pytest.raises(ConfigError, match="not one an outside system can have"):
            await system.get("/")


async def test_plain_http_to_localhost_never_leaves_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.5", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with outside("http://localhost") as system:
        with pytest.raises(ConfigError, match="plain http"):
            await system.get("/")


def test_a_mapped_address_is_looked_through() -> None:
    with pytest.raises(ConfigError):
        check_address(ip_address("::ffff:169.254.1.1"), is_plain=False, what="x")


async def test_connections_come_from_the_guarded_network() -> None:
    transport = Transport(System("system 7", "https://lims.example"))
    pool: Any = transport._pool
    assert isinstance(pool, Pool)
    assert isinstance(pool._network, GuardedNetwork)
    await transport.aclose()


async def test_the_guarded_transport_serves_an_ordinary_client(simulator_url: str) -> None:
    async with httpx.AsyncClient(transport=Transport(System("system 7", simulator_url))) as client:
        assert (await client.get(f"{simulator_url}/api/status")).status_code == 401


async def test_a_name_that_is_not_known_was_not_sent_to() -> None:
    async with outside("https://no-such-host.invalid") as system:
        with pytest.raises(UnavailableError, match="nothing was sent"):
            await system.post("/", b"{}", headers={})


async def test_an_environment_proxy_is_not_used(simulator_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with outside(simulator_url) as system:
        with pytest.raises(ConfigError, match="401"):
            await system.get("/api/status")


@pytest.fixture
def simulator_url() -> Iterator[str]:
    with SimulatedInstrument() as instrument:
        yield instrument.url


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


@pytest.fixture
def secure(authority: trustme.CA, tmp_path: Path) -> Iterator[SimulatedInstrument]:
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(tmp_path / "chain.pem", append=number > 0)
    with SimulatedInstrument(
        certificate=tmp_path / "chain.pem", private_key=tmp_path / "key.pem", public_status=True
    ) as instrument:
        yield instrument


async def test_a_certificate_of_an_unknown_authority_is_refused(secure: SimulatedInstrument) -> None:
    async with outside(f"https://localhost:{secure.port}") as system:
        with pytest.raises(UnavailableError, match="its certificate is not trusted; nothing was sent"):
            await system.get("/api/status")


async def test_a_private_authority_is_trusted_where_it_is_set_but_for_its_own_names_only(
    secure: SimulatedInstrument, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWIRE_OUTSIDE_CA_FILE", str(tmp_path / "ca.pem"))
    settings.cache_clear()
    async with outside(f"https://localhost:{secure.port}") as system:
        assert (await system.get("/api/status")).status == 200
    async with outside(f"https://127.0.0.1:{secure.port}") as system:
        with pytest.raises(UnavailableError, match="certificate"):
            await system.get("/api/status")
    monkeypatch.setenv("LABWIRE_OUTSIDE_CA_FILE", str(tmp_path / "missing.pem"))
    settings.cache_clear()
    with pytest.raises(ConfigError, match="LABWIRE_OUTSIDE_CA_FILE"):
        Transport(System("system 7", "https://lims.example"))
    settings.cache_clear()


async def test_the_public_authorities_are_there_without_a_setting() -> None:
    assert _trust(None).cert_store_stats()["x509_ca"] > 50
    assert _trust(None).check_hostname


@pytest.mark.parametrize("place", [b"https://elsewhere.example/", b"/other"])
async def test_redirects_are_not_followed(place: bytes) -> None:
    answer = b"HTTP/1.1 307 Go\r\nLocation: " + place + b"\r\nContent-Length: 0\r\n\r\n"
    async with server(answering(answer)) as url, outside(url) as system:
        with pytest.raises(RefusedError, match="307; redirects are not followed"):
            await system.post("/", b"{}", headers={})


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"secret noise\r\n\r\n"])
async def test_a_connection_that_breaks_leaves_a_post_unknown_and_a_get_retryable(answer: bytes) -> None:
    async with server(answering(answer, cut=True)) as url, outside(url) as system:
        with pytest.raises(UnknownOutcomeError) as lost:
            await system.post("/", b"{}", headers={})
        with pytest.raises(RetryableError):
            await system.get("/")
    assert "secret" not in str(lost.value)
    assert lost.value.__cause__ is None


async def test_an_answer_that_trickles_in_is_cut_off_in_the_end() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(200):
            writer.write(b"x")
            await asyncio.sleep(0.1)

    async with server(trickle) as url, outside(url, timeout_seconds=0.3) as system:
        began = asyncio.get_running_loop().time()
        with pytest.raises(UnknownOutcomeError):
            await system.post("/", b"{}", headers={})
        assert asyncio.get_running_loop().time() - began < 2


async def test_an_endless_answer_is_cut_at_its_limit() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()

    async with server(endless) as url, outside(url, max_bytes=5000) as system:
        answer = await system.get("/")
    assert (len(answer.body), answer.is_cut) == (5000, True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("-3", 0),
        ("1e9", 86400),
        ("nan", None),
        ("soon", None),
        (None, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2715 07:28:00 GMT", 86400),
        ("Wed, 21 Oct 2015 07:28:00", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds


def test_the_breaker_lets_one_call_try_after_its_pause() -> None:
    now = [0.0]
    breaker = CircuitBreaker("system 7", failures=2, pause_seconds=30, clock=lambda: now[0])
    for _ in range(2):
        breaker.check()
        breaker.failed()
    with pytest.raises(UnavailableError) as refused:
        breaker.check()
    assert refused.value.retry_after_seconds == 30
    now[0] = 31
    breaker.check()
    with pytest.raises(UnavailableError):  # one tries, the others wait for what comes of it
        breaker.check()
    breaker.failed()
    assert breaker.open_seconds == 30
    now[0] = 62
    breaker.check()
    breaker.succeeded()
    breaker.check()
    assert breaker.open_seconds == 0
