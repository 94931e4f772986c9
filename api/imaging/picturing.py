"""Pictures of images for people: how one is asked for, who is shown for a series or study, and what is kept of it."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

from fastapi import Request

from api.imaging.negotiating import choose
from api.imaging.objects import Reader
from api.imaging.viewing import View
from models.imaging.ports import JPEG, PNG, NotAnImageError, Rendering
from models.imaging.stores.places import DicomObject
from models.kernel.errors import HeldError, NotAcceptableError, NotFoundError, UnreadableError
from tasks.clients.dicom.pool import pool

PARAMETERS = ("viewport", "window", "quality", "accept", "annotation", "iccprofile")
"""Of PS3.18, 8.3.5. The last two change nothing: nothing is written into pictures, and they have no profile."""
LARGEST_SIDE = 8192
THUMBNAIL = (128, 128)
MOST_KEPT_BYTES = 16 * 1024 * 1024
_Key = tuple[int, str, Rendering]


class Kept:
    """Thumbnails that were made lately, of bounded size together. Thread-safe."""

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._most, self._size = most_bytes, 0
        self._lock = threading.Lock()
        self._found: OrderedDict[_Key, bytes] = OrderedDict()

    def get(self, key: _Key) -> bytes | None:
        """The picture, which becomes the latest."""
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
            return found

    def put(self, key: _Key, picture: bytes) -> None:
        """Keep it; the oldest go."""
        with self._lock:
            self._size += len(picture) - len(self._found.pop(key, b""))
            self._found[key] = picture
            while self._size > self._most:
                self._size -= len(self._found.popitem(last=False)[1])


KEPT = Kept()


def rendering_of(request: Request, frame: int, viewport: tuple[int, int] | None = None) -> Rendering:
    """How the picture is to be; UnreadableError names a parameter that is not understood."""
    for name in request.query_params:
        if name not in PARAMETERS:
            shown = name if name.isascii() and name.isalnum() and len(name) <= 40 else "a parameter"
            raise UnreadableError(f"{shown} is not understood", field=shown)
    given = request.query_params
    center, width = _window(given.get("window", ""))
    return Rendering(
        frame=frame,
        window_center=center,
        window_width=width,
        viewport=_viewport(given.get("viewport", "")) or viewport,
        mime_type=choose(request, (JPEG, PNG)),
        quality=int(_number("quality", given.get("quality", "90"), 1, 100)),
    )


def picture_of(view: View, found: DicomObject, rendering: Rendering, *, is_kept: bool = False) -> bytes:
    """The picture; NotAcceptableError where none of it can be shown, NotFoundError without such a frame."""
    key = (view.tenant_id, found.checksum, rendering)
    if is_kept and (known := KEPT.get(key)) is not None:
        return known
    try:
        with Reader(view).file(found) as path:
            made = pool().render(path, rendering)
    except NotAnImageError as error:
        if error.rule == "frame":
            raise NotFoundError("the instance has no such frame", field="frames") from None
        raise _not_shown(error.rule) from None
    except HeldError as error:  # it is stored already: nobody holds it, and its pixels are there to be had as they are
        raise _not_shown(error.rule) from None
    if is_kept:
        KEPT.put(key, made)
    return made


def _not_shown(rule: str) -> NotAcceptableError:
    return NotAcceptableError(f"the instance cannot be shown as a picture ({rule})")


def representative(objects: Sequence[DicomObject]) -> tuple[DicomObject, int]:
    """The object and frame shown for many: the middle one of the first series with pixels; NotFoundError."""
    shown = [one for one in objects if one.has_pixels]
    if not shown:
        raise NotFoundError("nothing of it can be shown as a picture")
    first = [one for one in shown if one.series_id == shown[0].series_id]
    middle = first[len(first) // 2]
    return middle, max(1, (middle.frames + 1) // 2)


def _window(text: str) -> tuple[float | None, float | None]:
    if not text:
        return None, None
    parts = text.split(",")
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2].strip().lower() != "linear"):
        raise UnreadableError("window is center,width,linear: other functions are not offered", field="window")
    return _number("window", parts[0], -1e9, 1e9), _number("window", parts[1], 1e-6, 1e9)


def _viewport(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    parts = text.split(",")
    if len(parts) != 2:
        raise UnreadableError("viewport is width,height: parts of images are not offered", field="viewport")
    width, height = (int(_number("viewport", part, 1, LARGEST_SIDE)) for part in parts)
    return width, height


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text) if len(text) <= 32 and text.isascii() and "_" not in text else None
    except ValueError:
        value = None
    if value is None or not least <= value <= most:
        raise UnreadableError(f"{name} is not a number, or out of bounds", field=name)
    return value
