"""Answers of several parts: multipart/related, streamed part after part (RFC 2387; PS3.18, 8.6)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from fastapi.responses import StreamingResponse


@dataclass(frozen=True, slots=True)
class Part:
    """One part: the value of its Content-Type, its length in bytes, and its content."""

    content_type: str
    length: int
    content: Iterable[bytes]
    location: str = ""


def related(part_type: str, parts: Iterable[Part], headers: dict[str, str]) -> StreamingResponse:
    """The answer; the first part is asked for at once, so that what keeps it from being sent is told by a status.

    What fails later breaks the connection off: the client sees that the answer has no end.
    """
    boundary = uuid4().hex
    pieces = _written(iter(parts), boundary)
    first = next(pieces)
    content_type = f'multipart/related; type="{part_type}"; boundary={boundary}'
    return StreamingResponse(_chained(first, pieces), headers=headers | {"Content-Type": content_type})


def _written(parts: Iterator[Part], boundary: str) -> Iterator[bytes]:
    start = f"--{boundary}\r\n"
    for part in parts:
        location = f"Content-Location: {part.location}\r\n" if part.location else ""
        head = f"{start}Content-Type: {part.content_type}\r\nContent-Length: {part.length}\r\n{location}\r\n"
        small: bytes | None = head.encode()
        for piece in part.content:
            yield piece if small is None else small + piece
            small = None
        if small is not None:
            yield small
        start = f"\r\n--{boundary}\r\n"
    yield f"\r\n--{boundary}--\r\n".encode()


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
