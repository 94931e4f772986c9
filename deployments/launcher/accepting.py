"""An API process that leaves connections to the others: as many as there are processes share one listening socket.

Left to the event loop, whoever wakes first takes every connection that waits: of the four of an uploading client one
process often had all, and its one interpreter did the work of two cores.
"""

import asyncio
import logging
import socket

import uvicorn

REST_SECONDS = 0.001
"""Between two turns at the socket: long enough for another process to come to its turn."""
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
            try:
                for _ in range(1 + len(self.server_state.connections) // A_TURN):
                    await self._accept(listening)
                await asyncio.sleep(REST_SECONDS)
            except OSError as error:
                log.warning("no connection could be accepted (errno %s)", error.errno)
                await asyncio.sleep(TROUBLE_SECONDS)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(listening)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol
