"""Multipart bodies as RFC 2046, 5.1.1 allows them, however they are cut into pieces, within bounds."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.imaging.parts import Begin, Data, Event, read_parts
from models.kernel.errors import UnreadableError

pytestmark = pytest.mark.unit


def read(body: bytes, boundary: bytes = b"b", size: int = 65_536) -> list[tuple[dict[str, str], bytes]]:
    """Headers and content of every part of a body that comes in pieces of this size."""

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    async def collect() -> list[Event]:
        return [event async for event in read_parts(stream(), boundary)]

    found: list[tuple[dict[str, str], bytes]] = []
    for event in asyncio.run(collect()):
        if isinstance(event, Begin):
            found.append((event.headers, b""))
        elif isinstance(event, Data):
            found[-1] = (found[-1][0], found[-1][1] + event.content)
    return found


ALLOWED = {
    "preamble": b"To be read by machines.\r\n--bulky\r\n--b\r\nA: 1\r\n\r\nx\r\n--b--\r\n",
    "empty line first": b"\r\n--b\r\nA: 1\r\n\r\nx\r\n--b--",
    "transport padding": b"--b \t \r\nA: 1\r\n\r\nx\r\n--b-- \t\r\n",
    "folded header": b"--b\r\nA:\r\n 1\r\n\r\nx\r\n--b--\r\n",
    "epilogue": b"--b\r\nA: 1\r\n\r\nx\r\n--b--\r\nThe end.\r\n--b\r\nB: 2\r\n\r\ny\r\n--b--",
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 65_536])
@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_standard_allows_is_read(name: str, size: int) -> None:
    assert read(ALLOWED[name], size=size) == [({"a": "1"}, b"x")]


def test_a_part_may_have_no_headers_and_many_headers() -> None:
    many = b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(200))
    body = b"--b\r\n\r\nx\r\n--b\r\n" + many + b"\r\ny\r\n--b--"
    assert [(len(headers), data) for headers, data in read(body, size=5)] == [(0, b"x"), (200, b"y")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"--b\r\nA: 1\r\n\r\nx",
        b"--b\r\nA: 1\r\n\r\nx\r\n--b",
        b"--b\nA: 1\n\nx\n--b--",
        b"--b\r\nA 1\r\n\r\nx\r\n--b--",
        b"--b\r\nA : 1\r\n\r\nx\r\n--b--",
        b"--b\r\n: 1\r\n\r\nx\r\n--b--",
        b"--b\r\nA: " + b"1" * 20_000 + b"\r\n\r\nx\r\n--b--",
        b"--b\r\n" + b"A: 1\r\n" * 5_000 + b"\r\nx\r\n--b--",
        b"x" * 100_000 + b"\r\n--b\r\nA: 1\r\n\r\nx\r\n--b--",
        b"--b" + b" " * 5_000 + b"\r\nA: 1\r\n\r\nx\r\n",
    ],
)
def test_what_is_no_multipart_body_or_beyond_bounds_is_refused(body: bytes) -> None:
    for size in (100, 65_536):
        with pytest.raises(UnreadableError):
            read(body, size=size)


CONTENT = st.lists(st.sampled_from([b"\r", b"\n", b"-", b"b", b" ", b"x", b"--b", b"\r\n--", b"\r\n--bb"]), max_size=12)


@given(st.lists(CONTENT, min_size=1, max_size=3), st.integers(1, 40))
def test_any_content_comes_out_as_it_was(contents: list[list[bytes]], size: int) -> None:
    parts = [b"".join(pieces) for pieces in contents]
    if any(
        b"\r\n--b-" in b"\r\n" + part or b"\r\n--b " in part + b"\r\n" or b"\r\n--b\r" in part + b"\r" for part in parts
    ):
        return  # content that holds the boundary
    body = b"".join(b"--b\r\nA: 1\r\n\r\n" + part + b"\r\n" for part in parts) + b"--b--"
    assert [data for _, data in read(body, size=size)] == parts
