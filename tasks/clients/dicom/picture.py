"""What `read` answers of a JPEG or PNG: its structure is checked, its pixels are not decoded."""

import math
import os
import warnings
from typing import Any

from tasks.clients.dicom.jpeg import has_end
from tasks.clients.dicom.limits import MOST_PIXELS, refuse_more_pixels
from tasks.clients.dicom.refusal import RefusalError
from tasks.clients.dicom.source import Source
from tasks.clients.dicom.texts import clean

BYTES_OF_ONE = {"1": 8, "L": 8, "I;16": 12, "I;16B": 12, "I": 12}
BYTES_OF_COLOUR = 30
"""Of memory for each pixel while the picture is wrapped and shown, by Pillow's mode; measured, and some more."""
MOST_FIELDS = 100
MOST_VALUES = 16
KINDS = {b"\xff\xd8\xff": ("JPEG", "image/jpeg"), b"\x89PNG\r\n\x1a\n": ("PNG", "image/png")}
PNG_END = b"IEND\xaeB`\x82"
TAIL = 65_536
"""Bytes among which it stands: some write more behind it."""
_EXIF, _GPS = 0x8769, 0x8825


def kind_of(source: Source) -> tuple[str, str] | None:
    """Pillow's name and the media type of what the file begins as."""
    head = source.read(0, 8)
    return next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)


def picture_of(source: Source, kind: tuple[str, str]) -> dict[str, Any]:
    """The fields of `Picture` by name; RefusalError `pixels` for a bomb, `length` where it is cut off or damaged."""
    from PIL import Image  # most files are DICOM

    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    warnings.simplefilter("ignore")
    try:
        with os.fdopen(os.dup(source.fd), "rb") as stream:
            stream.seek(0)
            with Image.open(stream, formats=[kind[0]]) as image:
                width, height = image.size
                refuse_more_pixels(width, height, BYTES_OF_ONE.get(image.mode, BYTES_OF_COLOUR))
                exif = _exif(_exif_of(image))
                image.verify()
    except Image.DecompressionBombError:
        raise RefusalError("pixels", f"it has more than {MOST_PIXELS} pixels") from None
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError):
        raise RefusalError("length", f"the {kind[0]} is damaged or cut off") from None
    if not (has_end(source) if kind[0] == "JPEG" else PNG_END in source.read(max(0, source.size - TAIL), TAIL)):
        raise RefusalError("length", f"the {kind[0]} has no end")
    return {"mime_type": kind[1], "width": width, "height": height, "exif": exif}


def _exif_of(image: Any) -> Any:
    """Without decoding: Pillow looks for a PNG's behind its pixels, too."""
    if image.format == "JPEG":
        return image.getexif()
    from PIL.Image import Exif

    exif = Exif()
    exif.load(image.info.get("exif", b""))
    return exif


def _exif(given: Any) -> dict[str, Any]:
    """Fields by name; where the picture was taken is left out, and so is what a maker keeps in a form of its own."""
    from PIL.ExifTags import TAGS

    found: dict[str, Any] = {}
    for number, value in [*given.items(), *given.get_ifd(_EXIF).items()]:
        name = TAGS.get(number, "")
        if number in (_EXIF, _GPS) or not name or len(found) >= MOST_FIELDS:
            continue
        if (kept := _value(value)) not in (None, "", []):
            found[name] = kept
    return found


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int):
        return value if abs(value) < 2**53 else None
    if isinstance(value, tuple):
        return [kept for one in value[:MOST_VALUES] if (kept := _value(one)) is not None]
    if isinstance(value, bytes) or value is None:
        return None
    try:
        number = float(value)  # a fraction of Pillow's
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None
