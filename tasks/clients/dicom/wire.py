"""How a parser and its parent speak: lengths, a head in JSON, then bytes. One request, one answer."""

import json
import socket
import time
from struct import Struct
from typing import Any

LENGTHS = Struct("<LQ")
"""Of the head and of the bytes behind it."""
MOST_HEAD = 256 * 1024 * 1024


class EndedError(Exception):
    """The other side is gone."""


def send(connection: socket.socket, head: Any, body: bytes = b"") -> None:
    """Send a message; EndedError, TimeoutError."""
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    try:
        if len(body) < 65_536:
            connection.sendall(LENGTHS.pack(len(text), len(body)) + text + body)
        else:
            connection.sendall(LENGTHS.pack(len(text), len(body)) + text)
            connection.sendall(body)
    except (BrokenPipeError, ConnectionResetError):
        raise EndedError from None


def receive(connection: socket.socket, deadline: float | None = None, most: int = MOST_HEAD) -> tuple[Any, bytes]:
    """The next message; EndedError, and TimeoutError at `deadline` (of time.monotonic)."""
    try:
        data = b""
        while len(data) < LENGTHS.size:
            data += _more(connection, deadline)
        head, body = LENGTHS.unpack_from(data)
        if head > MOST_HEAD or body > most:
            raise EndedError
        whole = LENGTHS.size + head + body
        message = memoryview(data) if len(data) >= whole else _rest(connection, data, whole, deadline)
    except ConnectionResetError:
        raise EndedError from None
    text_end = LENGTHS.size + head
    return json.loads(bytes(message[LENGTHS.size : text_end])), bytes(message[text_end:whole])


def _rest(connection: socket.socket, begun: bytes, whole: int, deadline: float | None) -> memoryview:
    buffer = memoryview(bytearray(whole))
    buffer[: len(begun)] = begun
    at = len(begun)
    while at < whole:
        _wait(connection, deadline)
        got = connection.recv_into(buffer[at:])
        if not got:
            raise EndedError
        at += got
    return buffer


def _more(connection: socket.socket, deadline: float | None) -> bytes:
    _wait(connection, deadline)
    data = connection.recv(65_536)
    if not data:
        raise EndedError
    return data


def _wait(connection: socket.socket, deadline: float | None) -> None:
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        wait_at_most(connection, left)


def wait_at_most(connection: socket.socket, seconds: float) -> None:
    """Each of its next calls. Saying so is a call itself: what was said before stays if it is a hundredth longer."""
    said = connection.gettimeout()
    if said is None or not seconds <= said <= 1.01 * seconds:
        connection.settimeout(seconds)
