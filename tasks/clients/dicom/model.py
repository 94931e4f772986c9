"""A dataset in the DICOM JSON Model (PS3.18, F), element by element: what one bad value spoils is that value alone."""

import base64
import json
import math
from collections.abc import Iterator
from struct import Struct
from typing import Any

from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.elements import PIXELS, UNDEFINED, Element
from tasks.clients.dicom.texts import Charset
from tasks.clients.dicom.values import CHARSETTED, NUMBERS, UNSPLIT, decimal
from tasks.clients.dicom.vrs import VrFinder

MOST_INLINE = 1024
"""Bytes of a binary value that stand in the text; larger ones are named by a `BulkDataURI`."""
MOST_TEXT = 16 * 1024
"""Bytes of a text, or of a list of numbers, that stand in the text; larger ones are named likewise."""
MOST_TOGETHER, SMALL = 8 * 1024 * 1024, 64
"""Bytes of all values of a file that stand in the text: beyond that, only small ones do."""
UTF8 = {"vr": "CS", "Value": ["ISO_IR 192"]}
CHARSET = 0x00080005
FLOAT_PIXELS, DOUBLE_PIXELS = 0x7FE00008, 0x7FE00009
_PIXELS = frozenset({PIXELS, FLOAT_PIXELS, DOUBLE_PIXELS})
_NAMEABLE = frozenset(("DS", "FL", "FD", "IS", "LT", "SL", "SS", "ST", "SV", "UC", "UL", "US", "UT", "UV"))
"""Whose values may be bulk data besides the binary ones (PS3.18, F.2.2); any other so long is none of its VR."""
_BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_WORDS = {"OW": "H", "OF": "L", "OL": "L", "OD": "Q", "OV": "Q"}
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_PADDING = "\x00 "
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class JsonModel:
    """Writes one file's dataset; `bulk` then says where what it only names lies."""

    def __init__(self, file: DicomFile, prefix: str) -> None:
        self._file, self._prefix = file, prefix
        self._order = "<" if file.is_little else ">"
        self._numbers = {vr: Struct(self._order + letter) for vr, letter in NUMBERS.items()}
        self._vrs = VrFinder(file)
        self.bulk: dict[str, tuple[int, int]] = {}
        self._left = MOST_TOGETHER

    def text(self) -> Iterator[str]:
        """The pieces of the JSON object."""
        yield from self._dataset(self._file.elements, "", Charset())

    def _dataset(self, elements: list[Element], path: str, charset: Charset) -> Iterator[str]:
        by_tag = {element.tag: element for element in elements}
        declared = by_tag.pop(CHARSET, None)
        if declared is not None and declared.length != UNDEFINED:
            raw = self._file.source.read(declared.start, declared.length)
            charset = Charset([term.strip(_PADDING) for term in raw.decode("latin-1").split("\\")])
        vrs = self._vrs.of_dataset(by_tag)
        comma = "{" if path else f'{{"{CHARSET:08X}":{json.dumps(UTF8)},'
        for tag in sorted(by_tag):
            if tag & 0xFFFF and tag >> 16 not in (0, 2):
                yield comma
                yield from self._element(by_tag[tag], vrs[tag], f"{path}{tag:08X}", charset)
                comma = ","
        yield "}" if comma == "," else "{}"

    def _element(self, element: Element, vr: str, path: str, charset: Charset) -> Iterator[str]:
        name = f'"{element.tag:08X}":'
        if vr == "SQ":
            yield f'{name}{{"vr":"SQ"'
            yield from self._items(element, path, charset)
            yield "}"
            return
        yield name + self._plain(element, vr, path, charset)

    def _items(self, element: Element, path: str, charset: Charset) -> Iterator[str]:
        for number, item in enumerate(element.items or (), 1):
            yield ',"Value":[' if number == 1 else ","
            yield from self._dataset(item, f"{path}/{number}/", charset)
        if element.items:
            yield "]"

    def _plain(self, element: Element, vr: str, path: str, charset: Charset) -> str:
        if vr in _BINARY:
            found = self._binary(element, vr, path)
        elif not self._is_told(element, MOST_TEXT):
            vr = vr if vr in _NAMEABLE else "UN"
            found = self._named(element, path)
        else:
            raw = self._file.source.read(element.start, element.length)
            values = self._values(raw, vr, charset)
            found = {"Value": values} if any(value is not None for value in values) else {}
        return _encode({"vr": vr} | found)

    def _binary(self, element: Element, vr: str, path: str) -> dict[str, Any]:
        if element.length == 0:
            return {}
        if element.tag in _PIXELS or not self._is_told(element, MOST_INLINE):
            return self._named(element, path)
        raw = self._file.source.read(element.start, element.length)
        if vr in _WORDS and not self._file.is_little:
            raw = _swapped(raw, _WORDS[vr])
        return {"InlineBinary": base64.b64encode(raw).decode("ascii")}

    def _is_told(self, element: Element, most: int) -> bool:
        """Whether the value stands in the text, with all that stands there already."""
        if element.length > (most if element.length <= self._left else SMALL):
            return False
        self._left -= element.length
        return True

    def _named(self, element: Element, path: str) -> dict[str, Any]:
        self.bulk[path] = extent(element)
        return {"BulkDataURI": self._prefix + path}

    def _values(self, raw: bytes, vr: str, charset: Charset) -> list[Any]:
        if vr in self._numbers:
            return _numbers(raw, self._numbers[vr])
        if vr == "AT":
            pair = Struct(self._order + "HH")
            return ["{:04X}{:04X}".format(*pair.unpack_from(raw, at)) for at in range(0, len(raw) - 3, 4)]
        text = charset.decode(raw) if vr in CHARSETTED else raw.decode("latin-1")
        parts = [text] if vr in UNSPLIT else text.rstrip(_PADDING).split("\\")
        if vr in ("DS", "IS"):
            return [decimal(part.strip(_PADDING)) if part.strip(_PADDING) else None for part in parts]
        if vr == "PN":
            return [_name(part) for part in parts]
        return [part.rstrip(_PADDING) or None for part in parts]


def extent(element: Element) -> tuple[int, int]:
    """Where the value lies, with all of its fragments and their headers where it has some."""
    if element.length != UNDEFINED:
        return element.start, element.length
    start, length = element.fragments[-1] if element.fragments else (element.start, 0)
    return element.start, start + length - element.start


def _swapped(raw: bytes, letter: str) -> bytes:
    """In JSON, words are little endian whatever the file's order is."""
    size = Struct("<" + letter).size
    whole = len(raw) - len(raw) % size
    return b"".join(raw[at : at + size][::-1] for at in range(0, whole, size))


def _numbers(raw: bytes, number: Struct) -> list[Any]:
    whole = len(raw) - len(raw) % number.size
    values = (value for (value,) in number.iter_unpack(raw[:whole]))
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]


def _name(text: str) -> dict[str, str] | None:
    groups = [group.strip(_PADDING) for group in text.split("=")]
    return {name: group for name, group in zip(_GROUPS, groups, strict=False) if group} or None
