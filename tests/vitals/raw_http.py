"""HTTP as no library would send it: every byte of a request is the test's own."""

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def request(method: str, target: str, headers: Sequence[Header], body: bytes = b"", *, chunk: int = 0) -> bytes:
    """The bytes of a request; `chunk`: the body goes in pieces of so many bytes, without its length."""
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: hub", b"Connection: close"]
    lines += [name + b": " + value for name, value in headers]
    if chunk:
        pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        lines.append(b"Transfer-Encoding: chunked")
    elif body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


def send(address: str, sent: bytes, method: str = "POST") -> Answer:
    """The answer to these bytes, over a connection of their own."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    with socket.create_connection((parts.hostname, parts.port or 80), 30) as connection:
        with suppress(ConnectionError):  # where it is refused before all of it was sent
            connection.sendall(sent)
        with HTTPResponse(connection, method=method) as response:
            response.begin()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
