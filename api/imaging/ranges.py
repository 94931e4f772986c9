"""What of a file is asked for, and whether the asker has it already (RFC 9110, 13 and 14)."""

import re
from collections.abc import Callable, Iterator

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import Headers

from api.errors import MEANING, answer
from api.imaging.heading import is_head

_RANGE = re.compile(r"bytes=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
MOST_DIGITS = 18


class OutsideError(Exception):
    """No byte of the file is in the range (416)."""


def asked_range(headers: Headers, size: int, etag: str) -> tuple[int, int] | None:
    """Offset and length of the one range that is asked for; None: all of it.

    Several ranges, what is no range, and one whose If-Range names another state of the file are all of it.
    """
    asked = headers.get("range", "")
    condition = headers.get("if-range")
    found = _RANGE.fullmatch(asked)
    if found is None or (condition is not None and (condition.strip() != etag or etag.startswith("W/"))):
        return None  # a weak validator does not say that the bytes are the same (RFC 9110, 13.1.5)
    first, last = found[1], found[2]
    if not (first or last) or max(len(first), len(last)) > MOST_DIGITS:
        return None
    if not first:  # the last so many bytes
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
        length = end - start + 1
    if length <= 0:
        raise OutsideError
    return start, length


def has_it(headers: Headers, etag: str) -> bool:
    """Whether If-None-Match names this state of the file (304)."""
    named = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    return etag in named or "*" in named


def octets(
    request: Request, size: int, etag: str, read: Callable[[int, int], Iterator[bytes]], media_type: str
) -> Response:
    """Of what has `size` bytes what is asked for: all (200), a range (206), or none where there is none (416).

    `read` gives bytes by offset and length. A range is of GET alone (RFC 9110, 14.2).
    """
    try:
        asked = None if is_head(request) else asked_range(request.headers, size, etag)
    except OutsideError:
        return answer(request, 416, MEANING[416], headers={"Content-Range": f"bytes */{size}"})
    start, count = asked or (0, size)
    headers = {"ETag": etag, "Vary": "Accept", "Accept-Ranges": "bytes", "Content-Length": str(count)}
    is_part = count < size
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{start + count - 1}/{size}"
    return StreamingResponse(read(start, count), 206 if is_part else 200, headers, media_type)
