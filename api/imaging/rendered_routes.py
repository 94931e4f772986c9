"""WADO-RS: pictures a browser shows, of frames, instances, series and studies, and their thumbnails (PS3.18, 10.4)."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.errors import errors
from api.imaging.caching import etag_of, has_it, not_modified
from api.imaging.frame_routes import FrameList, frame_numbers
from api.imaging.heading import is_head
from api.imaging.parser_room import for_pictures
from api.imaging.picturing import THUMBNAIL, picture_of, rendering_of, representative
from api.imaging.viewing import View, Viewing
from api.imaging.wado import find
from models.imaging.ports import JPEG, PNG
from models.imaging.schemas import Uid
from models.imaging.stores.places import DicomObject
from models.kernel.errors import UnreadableError

STUDY = "/studies/{study_uid}"
SERIES = STUDY + "/series/{series_uid}"
INSTANCE = SERIES + "/instances/{image_uid}"
FRAME = INSTANCE + "/frames/{frames}"

router = APIRouter(tags=["dicomweb"])
PICTURED: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "A picture. `window=center,width,linear`, `viewport=width,height`, `quality=1..100`",
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in (JPEG, PNG)},
        },
        304: {"description": "The client has it already"},
        **errors(401, 403, 404, 406),
    },
}


@router.get(STUDY + "/rendered", **PICTURED)
@for_pictures
def render_study(study_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: one picture that stands for a study."""
    return _one_of(request, view, find(view, study_uid).objects)


@router.get(SERIES + "/rendered", **PICTURED)
@for_pictures
def render_series(study_uid: Uid, series_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: one picture that stands for a series: its middle image."""
    return _one_of(request, view, find(view, study_uid, series_uid).objects)


@router.get(INSTANCE + "/rendered", **PICTURED)
@for_pictures
def render_instance(study_uid: Uid, series_uid: Uid, image_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: the first frame of an instance."""
    return _pictured(request, view, find(view, study_uid, series_uid, image_uid).objects[0], 1)


@router.get(FRAME + "/rendered", **PICTURED)
@for_pictures
def render_frame(
    study_uid: Uid, series_uid: Uid, image_uid: Uid, frames: FrameList, request: Request, view: Viewing
) -> Response:
    """WADO-RS: one frame."""
    number = _one_frame(frames)
    return _pictured(request, view, find(view, study_uid, series_uid, image_uid).objects[0], number)


@router.get(STUDY + "/thumbnail", **PICTURED)
@for_pictures
def show_study_thumbnail(study_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: a small picture that stands for a study; at most 128 x 128 where no viewport is given."""
    return _one_of(request, view, find(view, study_uid).objects, is_small=True)


@router.get(SERIES + "/thumbnail", **PICTURED)
@for_pictures
def show_series_thumbnail(study_uid: Uid, series_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: a small picture that stands for a series."""
    return _one_of(request, view, find(view, study_uid, series_uid).objects, is_small=True)


@router.get(INSTANCE + "/thumbnail", **PICTURED)
@for_pictures
def show_thumbnail(study_uid: Uid, series_uid: Uid, image_uid: Uid, request: Request, view: Viewing) -> Response:
    """WADO-RS: a small picture of an instance."""
    return _pictured(request, view, find(view, study_uid, series_uid, image_uid).objects[0], 1, is_small=True)


@router.get(FRAME + "/thumbnail", **PICTURED)
@for_pictures
def show_frame_thumbnail(
    study_uid: Uid, series_uid: Uid, image_uid: Uid, frames: FrameList, request: Request, view: Viewing
) -> Response:
    """WADO-RS: a small picture of a frame."""
    number = _one_frame(frames)
    found = find(view, study_uid, series_uid, image_uid).objects[0]
    return _pictured(request, view, found, number, is_small=True)


def _one_frame(frames: str) -> int:
    numbers = frame_numbers(frames)
    if len(numbers) != 1:
        raise UnreadableError("one frame is shown at a time", field="frames")
    return numbers[0]


def _one_of(request: Request, view: View, objects: Sequence[DicomObject], *, is_small: bool = False) -> Response:
    found, number = representative(objects)
    return _pictured(request, view, found, number, is_small=is_small)


def _pictured(request: Request, view: View, found: DicomObject, number: int, *, is_small: bool = False) -> Response:
    rendering = rendering_of(request, number, THUMBNAIL if is_small else None)
    etag = etag_of(found.checksum, repr(rendering))
    if has_it(request, etag):
        return not_modified(etag)
    headers = {"ETag": etag, "Vary": "Accept"}
    if is_head(request):  # nothing is drawn to say how large it would be
        return StreamingResponse(iter(()), media_type=rendering.mime_type, headers=headers)
    made = picture_of(view, found, rendering, is_kept=is_small)
    return Response(made, media_type=rendering.mime_type, headers=headers)
