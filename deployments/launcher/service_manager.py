"""Tell systemd how we are: the protocol of sd_notify(3), one datagram a message."""

import os
import socket


def tell(*lines: str) -> bool:
    """Send `READY=1`, `STATUS=...`, `STOPPING=1`; False where no service manager listens, which is no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False
    return True
