"""WADO-RS: values that metadata only names (`BulkDataURI`), whole or in a range (DICOM PS3.18, 10.4.1.1.5)."""

import re
from collections.abc import Callable, Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.errors import errors
from api.imaging.caching import etag_of, has_it, not_modified
from api.imaging.locating import places_of
from api.imaging.negotiating import Offer, best, not_acceptable
from api.imaging.objects import Reader
from api.imaging.parser_room import waiting_for_a_parser
from api.imaging.ranges import octets
from api.imaging.related import Part, related
from api.imaging.viewing import View, Viewing
from api.imaging.wado import OCTETS, find
from models.imaging.ports import NotAnImageError
from models.imaging.schemas import Uid
from models.imaging.stores.places import DicomObject
from models.kernel.errors import NotFoundError
from tasks.clients.dicom.pool import pool

PLACE = re.compile(r"[0-9A-F]{8}(/\d{1,9}/[0-9A-F]{8})*")

router = APIRouter(tags=["dicomweb"])


@router.get(
    "/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/bulkdata/{place:path}",
    response_class=Response,
    responses={
        200: {
            "description": "The value's bytes as they stand in the file",
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
        },
        206: {
            "description": "The range of them that was asked for",
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "The client has them already"},
        **errors(401, 403, 404, 406, 416),
    },
)
def retrieve_bulkdata(
    study_uid: Uid,
    series_uid: Uid,
    image_uid: Uid,
    place: Annotated[str, Path(max_length=1000)],
    request: Request,
    view: Viewing,
) -> Response:
    """WADO-RS: one value, by the path its `BulkDataURI` names. Of several ranges all is answered."""
    [found] = find(view, study_uid, series_uid, image_uid).objects
    is_single = _is_single(request)
    length, read = _value(view, found, place.upper())
    etag = etag_of(found.checksum, place.upper())
    if is_single:
        etag = etag.removeprefix("W/")  # the same octets each time
    if has_it(request, etag):
        return not_modified(etag, "Accept")
    if not is_single:  # a range would be one of the parts and boundaries
        parts = iter((Part(OCTETS, length, read(0, length)),))
        return related(OCTETS, parts, {"ETag": etag, "Vary": "Accept"})
    return octets(request, length, etag, read, OCTETS)


def _is_single(request: Request) -> bool:
    found = best(request, (Offer(OCTETS), Offer(OCTETS, is_multipart=True)))
    if found is None:
        raise not_acceptable((OCTETS, f'multipart/related; type="{OCTETS}"'))
    return not found.is_multipart


def _value(view: View, found: DicomObject, place: str) -> tuple[int, Callable[[int, int], Iterator[bytes]]]:
    """The value's length, and how some of it is read; NotFoundError."""
    if not PLACE.fullmatch(place):
        raise NotFoundError("the instance has no such value", field="bulkdata")
    known = places_of(view, found)
    reader = Reader(view)
    extent = known.bulk.get(place)
    if extent is not None:
        offset, length = extent
        return length, lambda start, count: reader.part(found, offset + start, count)
    if known.is_complete:
        raise NotFoundError("the instance has no such value", field="bulkdata")
    try:
        with waiting_for_a_parser(), reader.file(found) as path:
            data = pool().bulk(path, place)
    except NotAnImageError:
        raise NotFoundError("the instance has no such value", field="bulkdata") from None
    return len(data), lambda start, count: iter((data[start : start + count],))
