"""ETags: an answer the client has is not sent again (RFC 9110, 8.8.3 and 13.1.2)."""

import hashlib
from collections.abc import Iterable

from fastapi import Request, Response


def etag_of(*parts: str | bytes) -> str:
    """A validator made of checksums and of what the answer depends on; weak, for it is the same in every encoding."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return f'W/"{digest.hexdigest()[:32]}"'


def has_it(request: Request, etag: str) -> bool:
    """Whether the client says that it has this answer."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or etag.removeprefix("W/") in _tags(given)


def not_modified(etag: str, vary: str = "") -> Response:
    """The answer to a client that has it (304); `vary` as in the answer it has (RFC 9110, 15.4.5)."""
    return Response(status_code=304, headers={"ETag": etag} | ({"Vary": vary} if vary else {}))


def takes_gzip(request: Request) -> bool:
    """Whether the client accepts that encoding."""
    for part in request.headers.get("accept-encoding", "").split(","):
        name, _, parameter = part.strip().partition(";")
        if name.strip().lower() in ("gzip", "*"):
            quality = parameter.strip().lower().removeprefix("q=").strip()
            return not quality or quality.strip("0.") != ""
    return False


def _tags(given: str) -> Iterable[str]:
    return [tag.strip().removeprefix("W/") for tag in given.split(",")]
