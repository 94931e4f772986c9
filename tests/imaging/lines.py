"""Requests over a line that is cut, and waiting for what comes of them."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit


@contextmanager
def cut(
    address: str, token: str, request: str, headers: Mapping[str, object], body: bytes, *, after: int
) -> Iterator[None]:
    """Begin to send a request (`PATCH /path`); its line breaks after so many bytes, at the end of the block."""
    place = urlsplit(address)
    said = {"Host": place.netloc, "Authorization": f"Bearer {token}", **headers, "Content-Length": len(body)}
    head = f"{request} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in said.items()) + "\r\n"
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as line:
        line.sendall(head.encode() + body[:after])
        yield
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # cut, not closed


def wait_until(met: Callable[[], bool], seconds: float = 30) -> None:
    """It fails when it does not happen."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)
