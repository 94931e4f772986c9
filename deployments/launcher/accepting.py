"""An API process that leaves connections to the others: as many as there are processes share one listening socket.

Left to the event loop, whoever wakes first takes every connection that waits: of the four of an uploading client one
process often had all, and its one interpreter did the work of two cores.
"""

import asyncio
import logging
import socket

import uvicorn

STEP_SECONDS = 0.0005
MOST_STEPS = 6
"""A process lets others go first for a step for each connection that it has: whoever has the fewest takes the next."""
A_TURN = 4
"""One connection more is taken in a turn for each so many that are open: a crowd does not wait."""
TROUBLE_SECONDS = 0.5
"""After an accept that failed, as it does without file descriptors."""

log = logging.getLogger(__name__)


class SharingServer(uvicorn.Server):
    """Accepts in turns instead of all at once; everything else is uvicorn's."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept from `sockets`, which are listening."""
        await super().startup(sockets=[])
        self._turns = [asyncio.create_task(self._take_turns(each)) for each in sockets or ()]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, then let requests finish."""
        for turns in self._turns:
            turns.cancel()
        await super().shutdown(sockets)

    async def _take_turns(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        while True:
            await _readable(listening)
            await asyncio.sleep(STEP_SECONDS * min(len(self.server_state.connections), MOST_STEPS))
            try:
                for _ in range(1 + len(self.server_state.connections) // A_TURN):
                    await self._accept(listening)
            except BlockingIOError:
                pass  # another process took it
            except OSError as error:
                log.warning("no connection could be accepted (errno %s)", error.errno)
                await asyncio.sleep(TROUBLE_SECONDS)

    async def _accept(self, listening: socket.socket) -> None:
        connection, _ = listening.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


async def _readable(listening: socket.socket) -> None:
    """Wait until a connection is there; whether it still is when we come to it is another matter."""
    loop, is_there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listening, is_there.set)
    try:
        await is_there.wait()
    finally:
        loop.remove_reader(listening)
