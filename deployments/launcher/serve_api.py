"""One API process on a listening socket handed down by the launcher: `python -m deployments.launcher.serve_api FD`.

The launcher holds the socket, so that while an API process is restarted callers wait instead of being refused.
"""

import socket
import sys

import uvicorn

from models.kernel.logs import configure_logs

GRACEFUL_SECONDS = 10


def serve(descriptor: int) -> None:
    """Serve until told to stop; requests in progress may finish. Addresses and tokens stay out of the log."""
    configure_logs()
    sock = socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        "api.app:create_app",
        factory=True,
        log_config=None,  # as configure_logs has it
        access_log=False,  # an address may hold a token
        server_header=False,
        proxy_headers=False,  # LABWIRE_TRUSTED_PROXIES says whom to believe
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[sock])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
