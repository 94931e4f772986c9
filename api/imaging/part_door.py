"""Parts of uploads that programs send, past the framework: an image a request, hundreds a second."""

import re

from fastapi import Request, Response
from pydantic_core import to_json

from api.direct import ByToken
from api.imaging.arriving import Arriving
from api.imaging.receiving import pieces
from api.imaging.resuming import ResumingByToken
from api.runs import start_completing
from models.kernel.errors import InvalidError, NotFoundError, UnauthenticatedError
from models.kernel.fields import LARGEST_ID

ROUTE = "/api/v1/radiology/uploads/{upload_id}/binary"
OFFSET = "Upload-Offset"
LARGEST_OFFSET = 2**62


async def add_part(request: Request) -> Response:
    """Bytes from `Upload-Offset` on, by the bearer of a token."""
    return await _receive(request, _offset(request))


async def put_binary(request: Request) -> Response:
    """The whole file, by the bearer of a token."""
    return await _receive(request, 0)


async def _receive(request: Request, offset: int) -> Response:
    scheme, _, token = request.headers["authorization"].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("only `Authorization: Bearer` is understood")
    upload_id = int(request.path_params["upload_id"])
    if not 0 < upload_id <= LARGEST_ID:
        raise NotFoundError("no such upload")
    resuming = ResumingByToken(request, Arriving(upload_id, offset), token.strip())
    answer = await resuming.receive(pieces(request))
    if answer.state == "stored":
        start_completing(resuming.caller)
    headers = {OFFSET: str(answer.received_bytes)}
    return Response(to_json(answer), headers=headers, media_type="application/json")


def _offset(request: Request) -> int:
    given = request.headers.get(OFFSET, "")
    if not (given.isascii() and given.isdecimal() and len(given) < 19 and int(given) <= LARGEST_OFFSET):
        raise InvalidError("a whole number of bytes is needed", field=OFFSET)
    return int(given)


_PATH = re.compile(r"/api/v1/radiology/uploads/(?P<upload_id>[0-9]{1,19})/binary")
BY_TOKEN = (ByToken("PATCH", _PATH, ROUTE, add_part), ByToken("PUT", _PATH, ROUTE, put_binary))
