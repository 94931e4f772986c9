"""WADO-RS: all attributes of a study's, series' or instance's images in the DICOM JSON Model (PS3.18, 10.4 and F)."""

from itertools import chain
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.errors import errors
from api.imaging.caching import etag_of, has_it, not_modified, takes_gzip
from api.imaging.negotiating import DICOM_JSON, JSON_TYPES, choose
from api.imaging.objects import Reader
from api.imaging.viewing import Viewing
from api.imaging.wado import find, find_series
from models.imaging.packing import inflated, joined
from models.imaging.schemas import Uid

router = APIRouter(tags=["dicomweb"])
VARY = "Accept, Accept-Encoding"
GZIPPED = {"Content-Encoding": "gzip"}
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
    describing = Reader(view).describing()
    if len(series) == 1:
        return _kept(request, describing.series_metadata(series[0]), media_type)
    marks = describing.study_marks(series)
    etag = etag_of(*marks) if marks else ""
    if etag and has_it(request, etag):
        return not_modified(etag, VARY)
    headers = {"Vary": VARY} | ({"ETag": etag} if etag else {})
    pieces = joined(map(describing.series_metadata, series))
    if takes_gzip(request):
        headers |= GZIPPED
    else:
        pieces = inflated(pieces)
    begun = chain((next(pieces),), pieces)  # what keeps the first series from being told is an error with its status
    return StreamingResponse(begun, media_type=media_type, headers=headers)


@router.get("/studies/{study_uid}/series/{series_uid}/metadata", **DESCRIBED)
def retrieve_series_metadata(study_uid: Uid, series_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: of every instance of a series. Made once, and served compressed as it is kept."""
    media_type = choose(request, JSON_TYPES)
    [series] = find_series(view, study_uid, series_uid)
    return _kept(request, Reader(view).describing().series_metadata(series), media_type)


@router.get("/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/metadata", **DESCRIBED)
def retrieve_instance_metadata(
    study_uid: Uid, series_uid: Uid, image_uid: Uid, request: Request, view: Viewing
) -> Response:
    """WADO-RS: of one instance."""
    media_type = choose(request, JSON_TYPES)
    [found] = find(view, study_uid, series_uid, image_uid).objects
    return _kept(request, Reader(view).describing().image_metadata(found.image_id), media_type)


def _kept(request: Request, body: bytes, media_type: str) -> Response:
    etag = etag_of(body)
    if has_it(request, etag):
        return not_modified(etag, VARY)
    headers = {"ETag": etag, "Vary": VARY}
    if takes_gzip(request):
        return Response(body, media_type=media_type, headers=headers | GZIPPED)
    return StreamingResponse(inflated((body,)), media_type=media_type, headers=headers)
