"""An event loop in a thread, and HTTP addresses on it that open and close at will."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import uvicorn
from starlette.types import ASGIApp

T = TypeVar("T")
# Longer than the pause between two polls of a busy client, so that its pool is not cut under a request.
KEEP_ALIVE_SECONDS = 75
CALL_TIMEOUT_SECONDS = 30


class LoopThread:
    """One event loop in a daemon thread of its own; `run` hands it a coroutine and waits for the answer."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def start(self) -> Self:
        """Start the thread; calling it again does nothing."""
        if not self._thread.is_alive():
            self._thread.start()
        return self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the loop and return its answer; RuntimeError from the loop's own thread."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("called from the loop it would wait for")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CALL_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Cancel what is left on the loop and end the thread."""
        if not self._thread.is_alive():
            return
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CALL_TIMEOUT_SECONDS)
        self.loop.close()

    async def _cancel_all(self) -> None:
        left = [task for task in asyncio.all_tasks(self.loop) if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def reserve(host: str, port: int) -> socket.socket:
    """Bind host:port (0 picks a free one) without listening: the number stays ours while connections are refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol must be named: asyncio sets TCP_NODELAY only where it is, and without it answers wait 40 ms.
    reserved = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # Without it the listener below could not share the number; with it a second listener elsewhere is still refused.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((host, port))
    return reserved


class Listener:
    """One HTTP address of an ASGI application; closed means that connections are refused, as when a device is off."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
        private_key: Path | None = None,
    ) -> None:
        self._reserved = reserve(host, port)
        self.host = host
        self.port: int = self._reserved.getsockname()[1]
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._config = uvicorn.Config(
            app,
            http="auto",  # httptools where installed, three times faster than h11
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
        )

    async def open(self) -> None:
        """Listen; does nothing when already listening."""
        if self._server is not None:
            return
        listening = reserve(self.host, self.port)
        listening.listen(self._config.backlog)
        self._server = uvicorn.Server(self._config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110  # uvicorn has a flag, no event
            await asyncio.sleep(0.001)

    async def close(self) -> None:
        """Stop listening and cut every connection, requests in flight included: a power cut, not a polite end."""
        server, serving = self._server, self._serving
        self._server = self._serving = None
        if server is None or serving is None:
            return
        for listening in server.servers:
            listening.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        # Its own way out takes 0.2 s of waiting for what has just been cut.
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    def release(self) -> None:
        """Give the port back."""
        self._reserved.close()
