"""WADO-RS: frames, by the places where they lie in the stored object (DICOM PS3.18, 10.4 and 8.7.3)."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from api.errors import errors
from api.imaging.caching import etag_of, has_it, not_modified
from api.imaging.locating import Places, frame, places_of
from api.imaging.negotiating import Offer, Wanted, best, not_acceptable
from api.imaging.related import Part, related
from api.imaging.viewing import View, Viewing
from api.imaging.wado import OCTETS, RLE, find, media_type_of
from models.imaging.ports import NotAnImageError
from models.imaging.schemas import Uid
from models.imaging.stores.places import DicomObject
from models.kernel.errors import NotFoundError, UnreadableError

MOST_FRAMES = 10_000
RLE_TYPES = ("image/dicom-rle", "image/x-dicom-rle")
FrameList = Annotated[str, Path(description="Numbers from 1, joined by commas", max_length=60_000)]

router = APIRouter(tags=["dicomweb"])


@router.get(
    "/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/frames/{frames}",
    response_class=Response,
    responses={
        200: {
            "description": "A part for each frame, in the order asked for, with its media type and transfer syntax",
            "content": {"multipart/related": {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "The client has them already"},
        **errors(401, 403, 404, 406),
    },
)
def retrieve_frames(
    study_uid: Uid, series_uid: Uid, image_uid: Uid, frames: FrameList, request: Request, view: Viewing
) -> Response:
    """WADO-RS: frames in the transfer syntax that is stored. One frame can also be had without parts."""
    numbers = frame_numbers(frames)
    [found] = find(view, study_uid, series_uid, image_uid).objects
    known = places_of(view, found)
    _refuse_missing(known, numbers)
    media_type, is_single = _chosen(request, known, numbers)
    etag = etag_of(found.checksum, frames, media_type, str(is_single))
    if has_it(request, etag):
        return not_modified(etag)
    content_type = f"{media_type}; transfer-syntax={known.frame_syntax}"
    headers = {"ETag": etag, "Vary": "Accept"}
    if is_single:
        length, content = _frame(view, found, known, numbers[0])
        return StreamingResponse(content, media_type=content_type, headers=headers | {"Content-Length": str(length)})
    return related(media_type, _parts(view, found, known, numbers, content_type), headers)


def frame_numbers(text: str) -> list[int]:
    """The numbers of a list in an address; UnreadableError for what is none."""
    parts = text.split(",")
    if len(parts) > MOST_FRAMES or not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        raise UnreadableError("frames are numbers from 1, joined by commas", field="frames")
    numbers = [int(part) for part in parts]
    if 0 in numbers:
        raise UnreadableError("frames are numbers from 1, joined by commas", field="frames")
    return numbers


def _refuse_missing(known: Places, numbers: list[int]) -> None:
    if known.is_complete and max(numbers) > len(known.frames):
        raise NotFoundError("the instance has no such frame", field="frames")


def _chosen(request: Request, known: Places, numbers: list[int]) -> tuple[str, bool]:
    """The media type of a frame, and whether it goes without parts; NotAcceptableError where it does not fit."""
    own = media_type_of(known.transfer_syntax_uid)
    types = (own, *(RLE_TYPES if known.transfer_syntax_uid == RLE else ()), *((OCTETS,) if own != OCTETS else ()))
    forms = (True, False) if len(numbers) == 1 else (True,)
    offers = [Offer(media_type, is_multipart) for is_multipart in forms for media_type in types]
    found = best(request, offers, lambda wanted, offer: _takes_syntax(wanted, offer, known))
    if found is None:
        raise not_acceptable((f'multipart/related; type="{own}"; transfer-syntax={known.frame_syntax}',))
    return own if found.media_type == OCTETS else found.media_type, not found.is_multipart


def _takes_syntax(wanted: Wanted, offer: Offer, known: Places) -> bool:
    """Of octets without a transfer syntax those that are not compressed are meant (PS3.18, 8.7.3.3.1)."""
    asked = wanted.part_type if wanted.is_multipart else wanted.media_type
    if offer.media_type == OCTETS != media_type_of(known.transfer_syntax_uid) and asked != OCTETS:
        return False  # they are told by their own type, unless octets are asked for by name
    if wanted.transfer_syntax:
        return wanted.transfer_syntax in ("*", known.frame_syntax, known.transfer_syntax_uid)
    return asked != OCTETS or not known.is_compressed


def _parts(view: View, found: DicomObject, known: Places, numbers: list[int], content_type: str) -> Iterator[Part]:
    for number in numbers:
        length, content = _frame(view, found, known, number)
        yield Part(content_type, length, content)


def _frame(view: View, found: DicomObject, known: Places, number: int) -> tuple[int, Iterator[bytes]]:
    try:
        return frame(view, found, known, number)
    except NotAnImageError:
        raise NotFoundError("the instance has no such frame", field="frames") from None
