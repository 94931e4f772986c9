"""WADO-RS: studies, series and instances as they were stored, byte by byte (DICOM PS3.18, 10.4)."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from api.errors import errors
from api.imaging.caching import etag_of, has_it, not_modified
from api.imaging.negotiating import Offer, best, not_acceptable
from api.imaging.objects import Reader
from api.imaging.ranges import octets
from api.imaging.related import Part, related
from api.imaging.viewing import View, Viewing
from api.imaging.wado import find, takes_syntaxes
from models.imaging.ports import DICOM
from models.imaging.schemas import Uid
from models.imaging.stores.places import DicomObject

router = APIRouter(tags=["dicomweb"])
RELATED = 'multipart/related; type="application/dicom"'
RETRIEVED: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The DICOM files as they were stored; pictures as the Secondary Capture made of them",
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in (RELATED, DICOM)},
        },
        206: {
            "description": "The range that was asked for of the one file",
            "content": {DICOM: {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "The client has them already"},
        **errors(401, 403, 404, 406, 416),
    },
}


@router.get("/studies/{study_uid}", **RETRIEVED)
def retrieve_study(study_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: every instance of a study."""
    return _retrieved(request, view, find(view, study_uid).objects)


@router.get("/studies/{study_uid}/series/{series_uid}", **RETRIEVED)
def retrieve_series(study_uid: Uid, series_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: every instance of a series."""
    return _retrieved(request, view, find(view, study_uid, series_uid).objects)


@router.get("/studies/{study_uid}/series/{series_uid}/instances/{image_uid}", **RETRIEVED)
def retrieve_instance(study_uid: Uid, series_uid: Uid, image_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: one instance; with `Accept: application/dicom` as it is, or a range of it, else as the only part."""
    return _retrieved(request, view, find(view, study_uid, series_uid, image_uid).objects)


def _retrieved(request: Request, view: View, objects: Sequence[DicomObject]) -> Response:
    is_single = _is_single(request, objects)
    etag = etag_of("single" if is_single else "parts", *(one.checksum for one in objects))
    if is_single:
        etag = etag.removeprefix("W/")  # the same octets each time
    if has_it(request, etag):
        return not_modified(etag, "Accept")
    reader = Reader(view)
    if not is_single:
        return related(DICOM, _parts(reader, objects), {"ETag": etag, "Vary": "Accept"})
    [one] = objects
    return octets(request, one.size, etag, lambda start, length: _some(reader, one, start, length), DICOM)


def _some(reader: Reader, one: DicomObject, start: int, length: int) -> Iterator[bytes]:
    """A part once the whole was what was stored, now or a short while ago, and is as long now."""
    if length == one.size:
        return reader.whole(one)
    reader.check_size(one)
    return reader.part(one, start, length)


def _is_single(request: Request, objects: Sequence[DicomObject]) -> bool:
    """Whether the one file is wanted as it is; NotAcceptableError where it cannot be had as the client takes it."""
    offers = (Offer(DICOM, is_multipart=True), Offer(DICOM))[: 2 if len(objects) == 1 else 1]
    found = best(request, offers, lambda wanted, offer: takes_syntaxes(wanted, objects))
    if found is None:
        raise not_acceptable((f"{RELATED} in the transfer syntax that is stored",))
    return not found.is_multipart


def _parts(reader: Reader, objects: Sequence[DicomObject]) -> Iterator[Part]:
    for one in objects:
        content_type = f"{DICOM}; transfer-syntax={one.transfer_syntax_uid}"
        yield Part(content_type, one.size, reader.whole(one))
