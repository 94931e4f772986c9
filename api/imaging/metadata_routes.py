"""WADO-RS: all attributes of a study's, series' or instance's images in the DICOM JSON Model (PS3.18, 10.4 and F)."""

import zlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.errors import errors
from api.imaging.caching import etag_of, has_it, not_modified, takes_gzip
from api.imaging.negotiating import DICOM_JSON, JSON_TYPES, choose
from api.imaging.objects import Reader
from api.imaging.viewing import View, Viewing
from api.imaging.wado import find, find_series
from models.imaging.describing import Describing
from models.imaging.schemas import Uid
from models.imaging.stores.descriptions import GZIP, inflated
from models.imaging.tables import RadiologySeries

router = APIRouter(tags=["dicomweb"])
DESCRIBED: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "One object an instance. Pixels and values of more than 1 KB stand as `BulkDataURI`",
            "content": {DICOM_JSON: {"schema": {"type": "array", "items": {"type": "object"}}}},
        },
        304: {"description": "The client has it already"},
        **errors(401, 403, 404, 406),
    },
}


@router.get("/studies/{study_uid}/metadata", **DESCRIBED)
def retrieve_study_metadata(study_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: of every instance of a study."""
    media_type = choose(request, JSON_TYPES)
    series = find_series(view, study_uid)
    if len(series) == 1:
        return _series(request, view, series[0], media_type)
    pieces = _joined(Reader(view).describing(), series)
    headers = {"Vary": "Accept, Accept-Encoding"}
    if takes_gzip(request):
        headers["Content-Encoding"] = "gzip"
        pieces = _packed(pieces)
    return StreamingResponse(_begun(pieces), media_type=media_type, headers=headers)


@router.get("/studies/{study_uid}/series/{series_uid}/metadata", **DESCRIBED)
def retrieve_series_metadata(study_uid: Uid, series_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: of every instance of a series. Made once, and served compressed as it is kept."""
    media_type = choose(request, JSON_TYPES)
    [series] = find_series(view, study_uid, series_uid)
    return _series(request, view, series, media_type)


@router.get("/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/metadata", **DESCRIBED)
def retrieve_instance_metadata(
    study_uid: Uid, series_uid: Uid, image_uid: Uid, request: Request, view: Viewing
) -> Response:
    """WADO-RS: of one instance."""
    media_type = choose(request, JSON_TYPES)
    [found] = find(view, study_uid, series_uid, image_uid).objects
    metadata = Reader(view).describing().image_metadata(found.image_id)
    etag = etag_of(metadata)
    if has_it(request, etag):
        return not_modified(etag)
    pieces = chain((b"[",), inflated(metadata), (b"]",))
    return StreamingResponse(pieces, media_type=media_type, headers={"ETag": etag, "Vary": "Accept"})


def _series(request: Request, view: View, series: RadiologySeries, media_type: str) -> Response:
    body = Reader(view).describing().series_metadata(series)
    etag = etag_of(body)
    if has_it(request, etag):
        return not_modified(etag)
    headers = {"ETag": etag, "Vary": "Accept, Accept-Encoding"}
    if takes_gzip(request):
        return Response(body, media_type=media_type, headers=headers | {"Content-Encoding": "gzip"})
    return StreamingResponse(inflated(body, GZIP), media_type=media_type, headers=headers)


def _joined(describing: Describing, series: Sequence[RadiologySeries]) -> Iterator[bytes]:
    """The arrays of all series as one array."""
    mark = b"["
    for one in series:
        held = b""
        for number, piece in enumerate(inflated(describing.series_metadata(one), GZIP)):
            yield held
            held = mark + piece[1:] if number == 0 else piece
        yield held.removesuffix(b"]")
        mark = b","
    yield b"]"


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, GZIP)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same, begun now: what keeps the first series from being told is an error with its status."""
    first = next(pieces, b"") or next(pieces, b"")
    return (piece for piece in _after(first, pieces) if piece)


def _after(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
