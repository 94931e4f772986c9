"""Values of elements as JSON values: bounded, finite, clean. What cannot be read as its VR is its text, or nothing."""

import math
from struct import Struct
from typing import Any

from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.elements import UNDEFINED, Element
from tasks.clients.dicom.texts import MOST_CHARACTERS, Charset, clean

MOST_VALUES = 16
MOST_BYTES = 8 * MOST_CHARACTERS
NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
CHARSETTED = frozenset({"LO", "SH", "PN", "LT", "ST", "UC", "UT"})
UNSPLIT = frozenset({"LT", "ST", "UT", "UR"})
_ASCII = Charset()

Value = str | int | float


class Values:
    """Reads values of one file, by its charset."""

    def __init__(self, file: DicomFile) -> None:
        self._file = file
        order = "<" if file.is_little else ">"
        self._numbers = {vr: Struct(order + letter) for vr, letter in NUMBERS.items()}
        self._charset = Charset([clean(term) for term in self._raw(file.by_tag.get(0x00080005)).split("\\")])

    def all(self, tag: int, vr: str) -> list[Value]:
        """Every value of the element, at most MOST_VALUES; empty where it is absent. `vr` where the file says none."""
        element = self._file.by_tag.get(tag)
        return [] if element is None else self.of(element, vr)

    def of(self, element: Element, vr: str) -> list[Value]:
        """The same for an element anywhere in the file."""
        if element.length in (0, UNDEFINED):
            return []
        own = element.vr if element.vr and element.vr != "UN" else vr
        raw = self._file.source.read(element.start, min(element.length, MOST_BYTES))
        if own in self._numbers:
            return self._binary(raw, self._numbers[own])
        return self._texts(raw, own)

    def tag(self, tag: int, vr: str) -> Any:
        """The value, a list where there are several, None where there is none."""
        found = self.all(tag, vr)
        return found if len(found) > 1 else found[0] if found else None

    def _texts(self, raw: bytes, vr: str) -> list[Value]:
        charset = self._charset if vr in CHARSETTED else _ASCII
        text = charset.decode(raw)
        parts = [text] if vr in UNSPLIT else text.split("\\")[:MOST_VALUES]
        cleaned = [clean(part) for part in parts]
        if not any(cleaned):
            return []
        return [decimal(part) for part in cleaned] if vr in ("DS", "IS") else list(cleaned)

    def _raw(self, element: Element | None) -> str:
        if element is None or element.length == UNDEFINED:
            return ""
        return self._file.source.read(element.start, min(element.length, MOST_CHARACTERS)).decode("latin-1")

    @staticmethod
    def _binary(raw: bytes, number: Struct) -> list[Value]:
        whole = min(len(raw) // number.size, MOST_VALUES)
        found = [number.unpack_from(raw, at * number.size)[0] for at in range(whole)]
        return [value for value in found if not isinstance(value, float) or math.isfinite(value)]


def decimal(text: str) -> Value:
    """The number a DS or IS writes; the text itself where it is none."""
    if len(text) > 32 or "_" in text:  # a DS has at most 16 characters, and int() of thousands takes its time
        return text
    try:
        value = float(text)
        if not math.isfinite(value):
            return text
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    except ValueError:
        return text
