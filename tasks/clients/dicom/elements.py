"""The structure of a DICOM dataset (PS3.5, 7): every element and where its value lies. Values are not read.

What pydicom is given later has passed here: each length lies within its surroundings, nesting and numbers are bounded.
"""

from struct import Struct
from typing import NamedTuple

from tasks.clients.dicom.refusal import RefusalError
from tasks.clients.dicom.source import Source

MOST_ELEMENTS = 500_000
"""Elements and items of one file: an enhanced multi-frame CT of 2,000 frames has some 150,000."""
MOST_FRAGMENTS = 1_000_000
DEEPEST = 64
"""Sequences within sequences: structured reports have a dozen."""
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXELS = 0x7FE00010
_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
_SHORT = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT"),
    *("PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
)
_VRS = {vr.encode(): (vr, True) for vr in _LONG} | {vr.encode(): (vr, False) for vr in _SHORT}
_FRAGMENTED = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_SEQUENCES = frozenset({"SQ", "UN", ""})


class Element(NamedTuple):
    """One element: its value's place in the file. `items` of a sequence, `fragments` of an encapsulated value."""

    tag: int
    vr: str
    """Empty where the file does not say."""
    start: int
    length: int
    """Of the value in bytes; UNDEFINED where a delimiter ends it."""
    items: "list[list[Element]] | None" = None
    fragments: list[tuple[int, int]] | None = None


class Walker:
    """Walks one dataset; RefusalError `length`, `nesting`, `elements` where it is not one."""

    def __init__(self, source: Source, *, implicit: bool, little: bool) -> None:
        self._source, self._implicit = source, implicit
        order = "<" if little else ">"
        self._tag, self._short, self._long = Struct(order + "HH"), Struct(order + "H"), Struct(order + "L")
        self._item = self._tag.pack(ITEM >> 16, ITEM & 0xFFFF)
        self._delimiting = self._item[:2]
        self._seen = 0

    def dataset(self, start: int) -> list[Element]:
        """Everything from `start` to the end of the file, pixels skipped."""
        return self._elements(start, self._source.size, 0, self._implicit, None)[0]

    def group(self, start: int, group: int) -> tuple[list[Element], int]:
        """The elements of one group alone, and where the next one begins."""
        found, at = [], start
        while at + 8 <= self._source.size:
            header = self._source.read(at, 12)
            if self._tag.unpack_from(header)[0] != group:
                break
            element, at = self._element(header, at, self._source.size, 0, self._implicit)
            found.append(element)
        return found, at

    def _elements(
        self, at: int, end: int, depth: int, implicit: bool, closing: int | None
    ) -> tuple[list[Element], int]:
        found: list[Element] = []
        while at + 8 <= end:
            header = self._source.read(at, 12)
            if header.startswith(self._delimiting):
                if closing is not None and self._item_header(header)[0] == closing:
                    return found, at + 8
                raise RefusalError("length", "an item or a delimiter stands where an element should")
            element, at = self._element(header, at, end, depth, implicit)
            found.append(element)
        if closing is not None or (depth and at != end):
            raise RefusalError("length", "an item ends within an element")
        if not depth and self._source.read(at, end - at).strip(b"\x00"):
            raise RefusalError("length", "the file ends within an element's header")
        return found, end

    def _element(self, header: bytes, at: int, end: int, depth: int, implicit: bool) -> tuple[Element, int]:
        self._count()
        group, number = self._tag.unpack_from(header)
        tag = group << 16 | number
        vr, start, length = self._header(header, at, implicit)
        if length == UNDEFINED:
            return self._undefined(tag, vr, start, end, depth, implicit)
        stop = start + length
        if stop > end:
            raise RefusalError("length", f"element ({group:04X},{number:04X}) declares more than there is")
        items = None
        if vr == "SQ" or (vr in _SEQUENCES and length >= 8 and self._source.peek(start, 4) == self._item):
            items = self._defined(vr, start, stop, depth, implicit)
        return Element(tag, vr, start, length, items), stop

    def _header(self, header: bytes, at: int, implicit: bool) -> tuple[str, int, int]:
        if not implicit:
            raw = header[4:6]
            vr, is_long = _VRS.get(raw, ("", False))
            if is_long:
                if len(header) < 12:
                    raise RefusalError("length", "the file ends within an element's header")
                return vr, at + 12, self._long.unpack_from(header, 8)[0]
            if vr or (raw.isalpha() and raw.isupper()):
                return vr or "UN", at + 8, self._short.unpack_from(header, 6)[0]
        return "", at + 8, self._long.unpack_from(header, 4)[0]

    def _defined(self, vr: str, start: int, stop: int, depth: int, implicit: bool) -> list[list[Element]] | None:
        if vr == "SQ":
            return self._items(start, stop, depth + 1, implicit, is_defined=True)[0]
        try:  # no VR says so: it is a sequence if it can be read as one
            return self._items(start, stop, depth + 1, implicit or vr == "UN", is_defined=True)[0]
        except RefusalError as refusal:
            if refusal.rule != "length":
                raise
            return None

    def _undefined(self, tag: int, vr: str, start: int, end: int, depth: int, implicit: bool) -> tuple[Element, int]:
        if vr in _FRAGMENTED or tag == PIXELS:
            fragments, at = self._fragments(start, end)
            return Element(tag, vr, start, UNDEFINED, None, fragments), at
        if vr not in _SEQUENCES:
            raise RefusalError("length", f"element ({tag >> 16:04X},{tag & 0xFFFF:04X}) has no length")
        items, at = self._items(start, end, depth + 1, implicit or vr == "UN", is_defined=False)
        return Element(tag, vr, start, UNDEFINED, items), at

    def _items(
        self, at: int, end: int, depth: int, implicit: bool, *, is_defined: bool
    ) -> tuple[list[list[Element]], int]:
        if depth > DEEPEST:
            raise RefusalError("nesting", f"sequences lie more than {DEEPEST} deep within each other")
        items: list[list[Element]] = []
        while at + 8 <= end:
            self._count()
            tag, length = self._item_header(self._source.read(at, 8))
            at += 8
            if tag == SEQUENCE_END:
                if is_defined:
                    continue
                return items, at
            if tag != ITEM:
                raise RefusalError("length", "a sequence holds something that is no item")
            if length == UNDEFINED:
                elements, at = self._elements(at, end, depth, implicit, ITEM_END)
            elif at + length > end:
                raise RefusalError("length", "an item declares more than there is")
            else:
                elements, at = self._elements(at, at + length, depth, implicit, None)
            items.append(elements)
        if not is_defined or at != end:
            raise RefusalError("length", "a sequence has no end")
        return items, at

    def _fragments(self, at: int, end: int) -> tuple[list[tuple[int, int]], int]:
        fragments: list[tuple[int, int]] = []
        while at + 8 <= end and len(fragments) < MOST_FRAGMENTS:
            tag, length = self._item_header(self._source.peek(at, 8))
            at += 8
            if tag == SEQUENCE_END:
                return fragments, at
            if tag != ITEM or at + length > end:
                raise RefusalError("length", "a fragment of the pixel data declares more than there is")
            fragments.append((at, length))
            at += length
        rule = "elements" if len(fragments) == MOST_FRAGMENTS else "length"
        raise RefusalError(rule, "the fragments of the pixel data have no end")

    def _item_header(self, header: bytes) -> tuple[int, int]:
        group, number = self._tag.unpack_from(header)
        return group << 16 | number, self._long.unpack_from(header, 4)[0]

    def _count(self) -> None:
        self._seen += 1
        if self._seen > MOST_ELEMENTS:
            raise RefusalError("elements", f"the file has more than {MOST_ELEMENTS} elements")
