"""What kind of JPEG it is: its frame header, how its colours are kept, and its end (ISO 10918-1, B.1 and B.2)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.clients.dicom.refusal import RefusalError
from tasks.clients.dicom.source import Source

_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_MOST_SEGMENTS = 10_000
_SCAN, _END, _ADOBE = 0xDA, 0xD9, 0xEE
_PIECE = 1024 * 1024
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Within a scan, where 0xFF is written as 0xFF00 and scans begin again by RST."""


@dataclass(frozen=True)
class Jpeg:
    """Of its frame header."""

    kind: int
    """The second byte of its marker: 0xC0 is baseline."""
    precision: int
    height: int
    width: int
    ids: bytes
    is_subsampled: bool
    transform: int | None
    """What Adobe's marker says of the colours; None where there is none."""

    @property
    def components(self) -> int:
        """Colours."""
        return len(self.ids)

    @property
    def is_baseline(self) -> bool:
        """What DICOM's JPEG Baseline takes: 8 bits, grey or three colours, its size in its header."""
        return self.kind == 0xC0 and self.precision == 8 and self.components in (1, 3) and self.height > 0

    @property
    def is_lossy(self) -> bool:
        """Whether values were lost when it was made."""
        return self.kind not in _LOSSLESS

    @property
    def photometric(self) -> str:
        """In DICOM's words."""
        if self.components == 1:
            return "MONOCHROME2"
        if self.transform == 0 or (self.transform is None and self.ids == b"RGB"):
            return "RGB"
        return "YBR_FULL_422" if self.is_subsampled else "YBR_FULL"


def jpeg_of(source: Source) -> Jpeg:
    """Read from the segments before the first scan; RefusalError `length` where there is no frame header."""
    transform = None
    for marker, at, length in _segments(source):
        if marker == _ADOBE and source.read(at + 4, 5) == b"Adobe":
            transform = next(iter(source.read(at + 15, 1)), None)
        if marker in _FRAME_HEADERS:
            return _frame_header(marker, source.read(at + 4, length), transform)
        if marker == _SCAN:
            break
    raise RefusalError("length", "the JPEG has no frame header")


def has_end(source: Source) -> bool:
    """Whether the end stands behind the last scan: a thumbnail has an end of its own, and cameras write more behind."""
    has_scan = False
    for marker, _, _ in _segments(source):
        has_scan |= marker == _SCAN
        if marker == _END:
            return has_scan
    return False


def _segments(source: Source) -> Iterator[tuple[int, int, int]]:
    """Marker, place and length of each segment as far as they can be followed; of the end, length 0."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        head = source.read(at, 4)
        if len(head) < 2 or head[0] != 0xFF:
            return
        marker, length = head[1], int.from_bytes(head[2:], "big")
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _END:
            yield marker, at, 0
            return
        if len(head) < 4 or length < 2:
            return
        yield marker, at, length
        at += 2 + length
        if marker == _SCAN:
            at = _after_scan(source, at)


def _after_scan(source: Source, at: int) -> int:
    """Where the next marker stands; the end of the file where none does."""
    while piece := source.read(at, _PIECE):
        found = _MARKER.search(piece)
        if found is not None:
            return at + found.start()
        at += max(1, len(piece) - 1)
    return at


def _frame_header(marker: int, body: bytes, transform: int | None) -> Jpeg:
    parts = [body[at : at + 3] for at in range(6, len(body) - 2, 3)][: body[5] if len(body) > 5 else 0]
    if not parts:
        raise RefusalError("length", "the JPEG's frame header is cut off")
    return Jpeg(
        kind=marker,
        precision=body[0],
        height=int.from_bytes(body[1:3], "big"),
        width=int.from_bytes(body[3:5], "big"),
        ids=bytes(part[0] for part in parts),
        is_subsampled=any(part[1] != 0x11 for part in parts),
        transform=transform,
    )
