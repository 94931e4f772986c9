"""One API process on a listening socket handed down by the launcher: `... -m deployments.launcher.serve_api FD NAME`.

The launcher holds the socket, so that while an API process is restarted callers wait instead of being refused.
"""

import os
import socket
import sys
from importlib import import_module

import uvicorn
from prometheus_client import values

from deployments.launcher.accepting import SharingServer
from deployments.launcher.garbage import collect_rarely
from models.kernel.logs import configure_logs

GRACEFUL_SECONDS = 10


def count_as(name: str) -> None:
    """Where several processes share a folder for their counts, keep ours in files of this name.

    By default a file bears its process's number: what is started again would leave one behind for ever, and begin a new
    one. Of this name there is one process at a time, and it goes on counting where the one before was killed.
    """
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        values.ValueClass = values.MultiProcessValue(process_identifier=lambda: name)  # type: ignore[no-untyped-call]


def serve(descriptor: int, name: str) -> None:
    """Serve until told to stop; requests in progress may finish. Addresses and tokens stay out of the log."""
    configure_logs()
    count_as(name)
    sock = socket.socket(fileno=descriptor)
    app = import_module("api.app").create_app()  # imported now: a counter's file has the name it had when it was made
    collect_rarely()
    config = uvicorn.Config(
        app,
        log_config=None,  # as configure_logs has it
        access_log=False,  # an address may hold a token
        server_header=False,
        proxy_headers=False,  # LABWIRE_TRUSTED_PROXIES says whom to believe
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    SharingServer(config).run(sockets=[sock])


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
