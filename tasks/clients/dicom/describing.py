"""`describe`, `pixels` and `bulk` inside a parser process."""

import zlib
from collections.abc import Iterator
from typing import Any

from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.elements import Element
from tasks.clients.dicom.frames import frame_bytes, pixel_element, places
from tasks.clients.dicom.instance import uids_of
from tasks.clients.dicom.model import JsonModel, extent
from tasks.clients.dicom.reading import dicom, opened
from tasks.clients.dicom.refusal import RefusalError

PIECES = 2_000


def describe(path: str) -> tuple[Any, bytes]:
    """Everything but the pixels, and where they lie."""
    with opened(path) as source, dicom(source) as file:
        study, series, image = uids_of(file)
        model = JsonModel(file, f"/dicom-web/studies/{study}/series/{series}/instances/{image}/bulkdata/")
        packed = list(_packed(model))
        found = [] if file.is_deflated else places(file)
        head = {
            "transfer_syntax_uid": file.syntax,
            "frames": found,
            "bulk": {} if file.is_deflated else model.bulk,
            "is_complete": not file.is_deflated and (bool(found) or pixel_element(file) is None),
        }
        return {"description": head}, b"".join(packed)


def _packed(model: JsonModel) -> Iterator[bytes]:
    """Compressed while it is made: the whole text may be large."""
    packer = zlib.compressobj()
    pieces: list[str] = []
    for piece in model.text():
        pieces.append(piece)
        if len(pieces) >= PIECES:
            yield packer.compress("".join(pieces).encode("utf-8", "replace"))
            pieces.clear()
    yield packer.compress("".join(pieces).encode("utf-8", "replace")) + packer.flush()


def pixels(path: str, frame: int) -> tuple[Any, bytes]:
    """One frame's bytes."""
    with opened(path) as source, dicom(source) as file:
        return {}, frame_bytes(file, frame)


def bulk(path: str, place: str) -> tuple[Any, bytes]:
    """The value that `describe` calls by this path."""
    with opened(path) as source, dicom(source) as file:
        start, length = extent(_found(file, place))
        return {}, file.source.read(start, length)


def _found(file: DicomFile, place: str) -> Element:
    """The element at `00880200/1/7FE00010`: tags, and numbers of items between them."""
    elements, parts = file.elements, place.split("/")
    for at in range(0, len(parts), 2):
        element = next((one for one in reversed(elements) if f"{one.tag:08X}" == parts[at]), None)
        if element is None:
            break
        if at == len(parts) - 1:
            return element
        number = int(parts[at + 1]) if parts[at + 1].isdecimal() else 0
        if element.items is None or not 1 <= number <= len(element.items):
            break
        elements = element.items[number - 1]
    raise RefusalError("bulk", "the file has no such value")
