"""Ports of the parts: given ones are checked with a clear message, others are chosen once and remembered."""

import json
import random
import socket
from pathlib import Path

from deployments.launcher.files import write_atomically
from models.kernel.errors import ConfigError

# Below the range the system gives to outgoing connections, so a remembered port is rarely taken at the next start.
CHOSEN_FROM = range(21_000, 31_000)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listen(host: str, port: int, variable: str) -> socket.socket:
    """A listening socket; ConfigError naming the variable to change when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"port {port} of {host} cannot be used ({error.strerror}): set {variable} to another"
        ) from None
    return sock


def check_free(port: int, variable: str) -> None:
    """ConfigError naming the variable when somebody listens on this loopback port."""
    listen("127.0.0.1", port, variable).close()


def remembered_port(file: Path, name: str, *, count: int = 1) -> int:
    """The port the part `name` had before, or, when there is none or it is taken, a free one, now remembered.

    With `count`, the first of so many consecutive ones.
    """
    ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    if name in ports and all(_is_free(port) for port in range(ports[name], ports[name] + count)):
        return ports[name]
    taken = set(ports.values())
    for port in random.sample(CHOSEN_FROM, k=200):
        if all(each not in taken and _is_free(each) for each in range(port, port + count)):
            ports[name] = port
            write_atomically(file, json.dumps(ports, indent=2))
            return port
    raise ConfigError("no free port found between 21000 and 31000")


def _is_free(port: int) -> bool:
    try:
        check_free(port, "")
    except ConfigError:
        return False
    return True
