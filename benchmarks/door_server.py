"""One API process for the benchmark: `python -m benchmarks.door_server FD NAME group|each`.

`each` does the same work as the devices' door, but commits every request by itself, on the threads of the pool.
"""

import socket
import sys

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from api.app import create_app
from api.vitals import doors, writer
from deployments.launcher.accepting import SharingServer
from deployments.launcher.garbage import collect_rarely
from models.kernel.logs import configure_logs
from models.vitals.stores.admission import Outcome, Request


class Server(SharingServer):
    """Says when it accepts connections: an answer would say so of one of the processes that share a socket."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As usual, then a line."""
        await super().startup(sockets)
        print("ready", flush=True)


class EachByItself:
    """A transaction for each request."""

    async def admit(self, tenant_id: int, request: Request) -> Outcome:
        """The outcome, once it is committed."""
        return await run_in_threadpool(self._commit, tenant_id, request)

    def _commit(self, tenant_id: int, request: Request) -> Outcome:
        return writer.commit([(tenant_id, request)], doors.LIMITS.hear)[0]


def main() -> None:
    """Serve until told to stop."""
    configure_logs()
    sock, kind = socket.socket(fileno=int(sys.argv[1])), sys.argv[3]
    app: FastAPI = create_app()
    if kind == "each":
        alone = EachByItself()
        doors.writer = lambda: alone  # type: ignore[assignment,return-value] # all that the door asks of it
    collect_rarely()
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, proxy_headers=False)
    Server(config).run(sockets=[sock])


if __name__ == "__main__":
    main()
