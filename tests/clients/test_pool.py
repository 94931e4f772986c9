"""The transport's connections: used again while they are good, never more than allowed, freed whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from models.kernel.errors import ConfigError, UnknownOutcomeError
from tasks.clients.transport import OutsideSystem, System, Transport

pytestmark = pytest.mark.contract
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers `OK` to whatever comes; notes connections and the packets of each request."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.packets: list[bytes] = []
        self.delay_seconds = 0.0
        self.closes_after_answer = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while packet := await reader.read(100_000):
                self.packets.append(packet)
                await asyncio.sleep(self.delay_seconds)
                writer.write(OK)
                if self.closes_after_answer:
                    return
        finally:
            self.open -= 1
            writer.close()

    @asynccontextmanager
    async def serving(self, **given: Any) -> AsyncIterator[OutsideSystem]:
        listening = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        system = OutsideSystem(System("system 7", url, **{"timeout_seconds": 1, **given}))
        try:
            yield system
        finally:
            await system.aclose()
            listening.close()


async def test_one_after_the_other_takes_one_connection() -> None:
    server = Server()
    async with server.serving() as system:
        for _ in range(5):
            await system.get("/")
    assert server.connections == 1


async def test_at_once_takes_as_many_as_allowed_and_no_more() -> None:
    server = Server()
    server.delay_seconds = 0.02
    async with server.serving(connections=3) as system:
        await asyncio.gather(*(system.get("/") for _ in range(20)))
    assert server.most_open == server.connections == 3


async def test_a_request_is_one_packet() -> None:
    server = Server()
    async with server.serving() as system:
        await system.post("/path", b'{"a": 1}', headers={})
    (packet,) = server.packets
    assert packet.startswith(b"POST /path HTTP/1.1\r\n")
    assert packet.endswith(b'\r\n\r\n{"a": 1}')


async def test_a_connection_the_server_closed_is_not_used_again() -> None:
    server = Server()
    server.closes_after_answer = True
    async with server.serving() as system:
        for _ in range(3):
            assert (await system.post("/", b"{}", headers={})).status == 200
            await asyncio.sleep(0.02)
    assert server.connections == 3


async def test_a_call_that_is_given_up_frees_its_place() -> None:
    server = Server()
    server.delay_seconds = 0.5
    async with server.serving(connections=1) as system:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await system.get("/")
        server.delay_seconds = 0
        await system.get("/")


async def test_a_failed_call_frees_its_place() -> None:
    server = Server()
    server.delay_seconds = 5
    async with server.serving(connections=1, timeout_seconds=0.05) as system:
        for _ in range(2):
            with pytest.raises(UnknownOutcomeError):
                await system.post("/", b"{}", headers={})
        server.delay_seconds = 0
        await system.post("/", b"{}", headers={})


async def test_a_large_body_arrives_whole() -> None:
    server = Server()
    body = b"x" * 300_000
    received = bytearray()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        received.extend(await reader.readexactly(len(body)))
        writer.write(OK)

    server.handle = handle  # type: ignore[method-assign]
    async with server.serving() as system:
        await system.post("/", body, headers={})
    assert bytes(received) == body


async def test_another_origin_is_refused() -> None:
    async with httpx.AsyncClient(transport=Transport(System("system 7", "https://lims.example"))) as client:
        with pytest.raises(ConfigError, match="another address"):
            await client.get("https://elsewhere.example/")


async def test_nothing_is_left_open() -> None:
    server = Server()
    server.delay_seconds = 0.01
    async with server.serving() as system:
        await asyncio.gather(*(system.get("/") for _ in range(8)))
    await asyncio.sleep(0.05)
    assert server.open == 0
