"""Where the frames of a file's pixels lie (PS3.5, 8 and A.4)."""

from dataclasses import dataclass
from struct import Struct

from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.elements import PIXELS, UNDEFINED, Element
from tasks.clients.dicom.model import DOUBLE_PIXELS, FLOAT_PIXELS
from tasks.clients.dicom.refusal import RefusalError
from tasks.clients.dicom.source import Source
from tasks.clients.dicom.values import Values

MOST_FRAMES = 1_000_000
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
_RLE = "1.2.840.10008.1.2.5"
_BEGINNINGS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ", b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")
"""Of JPEG and JPEG-LS, JPEG 2000 and its file format, JPEG XL."""
_OFFSETS, _EXTENDED_OFFSETS = Struct("<L"), 0x7FE00001

Piece = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """What the attributes say of the pixels; zero where they do not."""

    rows: int
    columns: int
    samples: int
    bits: int
    """Allocated for a sample."""
    photometric: str
    frames: int

    @property
    def frame_bits(self) -> int:
        """Of one native frame."""
        bits = self.rows * self.columns * self.samples * self.bits
        return bits * 2 // 3 if self.photometric.endswith("_422") else bits


def layout_of(file: DicomFile) -> Layout:
    """Read from the file."""
    values = Values(file)

    def number(tag: int, default: int = 0) -> int:
        found = values.all(tag, "US")
        return found[0] if found and isinstance(found[0], int) and found[0] > 0 else default

    photometric = values.all(0x00280004, "CS")
    frames = values.all(0x00280008, "IS")
    return Layout(
        rows=number(0x00280010),
        columns=number(0x00280011),
        samples=number(0x00280002, 1),
        bits=number(0x00280100),
        photometric=str(photometric[0]) if photometric else "",
        frames=max(1, frames[0]) if frames and isinstance(frames[0], int) else 1,
    )


def pixel_element(file: DicomFile) -> Element | None:
    """The element with the pixels."""
    tags = (PIXELS, FLOAT_PIXELS, DOUBLE_PIXELS)
    return next((file.by_tag[tag] for tag in tags if tag in file.by_tag), None)


def places(file: DicomFile) -> list[list[Piece]]:
    """Offset and length of the pieces of each frame that is there; frames that do not begin on a byte are left out."""
    element = pixel_element(file)
    if element is None:
        return []
    layout = layout_of(file)
    if element.fragments is not None:
        return _encapsulated(file, element.fragments, layout.frames)
    if element.length == UNDEFINED:
        return []
    size, odd_bits = divmod(layout.frame_bits, 8)
    if odd_bits:
        if layout.frames > 1:
            return []
        size += 1
    if size % 2 and layout.frames == 1 and not file.is_little and element.vr == "OW":
        size += 1  # its last byte is the first one of a word
    there = min(layout.frames, element.length // size) if size else 0
    _bound(there)
    return [[(element.start + number * size, size)] for number in range(there)]


def _encapsulated(file: DicomFile, items: list[Piece], frames: int) -> list[list[Piece]]:
    if len(items) < 2:
        return []
    table, fragments = items[0], items[1:]
    if frames == 1 or file.syntax.startswith(_VIDEO):
        return [fragments]
    _bound(frames)
    if len(fragments) == frames or file.syntax == _RLE:
        return [[fragment] for fragment in fragments[:frames]]
    starts = _offsets(file, table, frames)
    base = fragments[0][0] - 8
    by_table = _grouped(fragments, {base + start for start in starts}, frames)
    if by_table is not None:
        return by_table
    begun = {start - 8 for start, _ in fragments if _begins_frame(file.source, start)}
    return _grouped(fragments, begun, frames) or []


def _offsets(file: DicomFile, table: Piece, frames: int) -> list[int]:
    number, (start, length) = _OFFSETS, table
    extended = file.by_tag.get(_EXTENDED_OFFSETS)
    if not length and extended is not None and extended.length != UNDEFINED:
        number, start, length = Struct("<Q"), extended.start, extended.length
    if length != frames * number.size:
        return []
    return [offset for (offset,) in number.iter_unpack(file.source.read(start, length))]


def _grouped(fragments: list[Piece], starts: set[int], frames: int) -> list[list[Piece]] | None:
    """Fragments by frame, where each of as many starts as frames is a fragment's, the first one's among them."""
    grouped: list[list[Piece]] = []
    for fragment in fragments:
        if fragment[0] - 8 in starts:
            grouped.append([])
        elif not grouped:
            return None
        grouped[-1].append(fragment)
    return grouped if len(grouped) == frames else None


def _begins_frame(source: Source, start: int) -> bool:
    return source.peek(start, 8).startswith(_BEGINNINGS)


def _bound(frames: int) -> None:
    if frames > MOST_FRAMES:
        raise RefusalError("elements", f"the file has more than {MOST_FRAMES} frames")


def frame_bytes(file: DicomFile, number: int) -> bytes:
    """One frame in the file's transfer syntax, counted from 1; RefusalError `no_pixels`, `frame`."""
    element = pixel_element(file)
    if element is None:
        raise RefusalError("no_pixels", "the file has no pixels")
    found = places(file)
    if not found and element.fragments is None:
        return _odd_frame(file, element, number)
    if not 1 <= number <= len(found):
        raise RefusalError("frame", f"the file has {len(found)} frames")
    return b"".join(file.source.read(start, length) for start, length in found[number - 1])


def _odd_frame(file: DicomFile, element: Element, number: int) -> bytes:
    """A frame of single bits that begins within a byte, moved to the byte's beginning (the lowest bit first)."""
    layout = layout_of(file)
    bits = layout.frame_bits
    if not 1 <= number <= layout.frames or not bits or number * bits > element.length * 8:
        raise RefusalError("frame", "the file does not have that frame")
    first, last = (number - 1) * bits, number * bits
    raw = file.source.read(element.start + first // 8, (last + 7) // 8 - first // 8)
    moved = (int.from_bytes(raw, "little") >> first % 8) & ((1 << bits) - 1)
    return moved.to_bytes((bits + 7) // 8, "little")
