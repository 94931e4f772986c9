"""API processes that share a listening socket share its connections."""

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import uvicorn

from deployments.launcher import accepting
from deployments.launcher.accepting import SharingServer

pytestmark = pytest.mark.contract


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as sock:
        yield sock


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@asynccontextmanager
async def _serving(listening: socket.socket, servers: list[uvicorn.Server]) -> AsyncIterator[None]:
    for server in servers:
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[listening.dup()])
    try:
        yield
    finally:
        for server in servers:
            server.force_exit = True
            await server.shutdown(sockets=[])


def _server(kind: type[uvicorn.Server]) -> uvicorn.Server:
    return kind(uvicorn.Config(_hello, lifespan="off", log_config=None))


def _shares(listening: socket.socket, kind: type[uvicorn.Server], connections: int, processes: int) -> list[int]:
    """How many of the connections, all there before anybody accepts, each of the servers comes to have."""

    async def run() -> list[int]:
        servers = [_server(kind) for _ in range(processes)]
        with ExitStack() as clients:
            async with _serving(listening, servers):
                for _ in range(connections):
                    clients.enter_context(socket.create_connection(listening.getsockname()))
                deadline = time.monotonic() + 10
                while sum(len(each.server_state.connections) for each in servers) < connections:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.001)
                return [len(each.server_state.connections) for each in servers]

    return asyncio.run(run())


def test_connections_that_come_at_once_are_shared(listening: socket.socket) -> None:
    assert sorted(_shares(listening, uvicorn.Server, 4, 2)) == [0, 4]  # whoever wakes first has them all
    assert _shares(listening, SharingServer, 4, 2) == [2, 2]
    assert min(_shares(listening, SharingServer, 16, 2)) >= 6


def test_one_after_the_other_goes_to_whoever_has_fewest(listening: socket.socket) -> None:
    async def run() -> list[int]:
        servers = [_server(SharingServer) for _ in range(3)]
        with ExitStack() as clients:
            async with _serving(listening, servers):
                for _ in range(12):
                    clients.enter_context(socket.create_connection(listening.getsockname()))
                    await asyncio.sleep(0.01)
                return [len(each.server_state.connections) for each in servers]

    assert asyncio.run(run()) == [4, 4, 4]


def test_a_crowd_does_not_wait(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, wait = [], accepting._readable

    async def counting(listening: socket.socket) -> None:
        await wait(listening)
        turns.append(1)

    monkeypatch.setattr(accepting, "_readable", counting)
    assert _shares(listening, SharingServer, 400, 1) == [400]
    assert len(turns) < 60


def test_after_an_accept_that_failed_it_goes_on(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, failures = SharingServer._accept, [OSError(errno.EMFILE, "too many open files")]

    async def failing(self: SharingServer, listening: socket.socket) -> None:
        if failures:
            raise failures.pop()
        await accept(self, listening)

    monkeypatch.setattr(SharingServer, "_accept", failing)
    assert _shares(listening, SharingServer, 2, 1) == [2]
    assert "no connection could be accepted (errno 24)" in caplog.text


def test_it_answers_and_stops(listening: socket.socket) -> None:
    async def run() -> bytes:
        server = _server(SharingServer)
        async with _serving(listening, [server]):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
        late = socket.create_connection(listening.getsockname())  # waits for the next process
        await asyncio.sleep(0.05)
        assert not server.server_state.connections
        late.close()
        return answer

    answer = asyncio.run(run())
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"hi")
