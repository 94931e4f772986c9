"""What showing a frame needs to know of its file: its window, its scale, its colours."""

from dataclasses import dataclass

from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.elements import UNDEFINED, Element
from tasks.clients.dicom.frames import Layout, layout_of
from tasks.clients.dicom.values import Value, Values

SHARED, PER_FRAME = 0x52009229, 0x52009230
_VOI, _TRANSFORMATION = 0x00289132, 0x00289145
_CENTER, _WIDTH, _FUNCTION = 0x00281050, 0x00281051, 0x00281056
_INTERCEPT, _SLOPE = 0x00281052, 0x00281053
_MODALITY, _VOIS = 0x00283000, 0x00283010
_DESCRIPTOR, _DATA = 0x00283002, 0x00283006
MOST_ENTRIES = 65_536
"""Of a table, written as 0."""


@dataclass(frozen=True)
class Look:
    """How a frame is shown; `window` is its first one, center and width."""

    layout: Layout
    stored_bits: int
    is_signed: bool
    is_planar: bool
    slope: float
    intercept: float
    window: tuple[float, float] | None
    function: str
    padding: float | None
    modality: "Table | None" = None
    """In place of slope and intercept (PS3.3, C.11.1.1)."""
    voi: "Table | None" = None
    """In place of the window (PS3.3, C.11.2.1.1)."""


@dataclass(frozen=True)
class Table:
    """A lookup table (PS3.3, C.7.6.3.1.5): its values, one or two bytes each, and the value that the first is for."""

    first: int
    bits: int
    data: bytes
    size: int
    """Of a value, in bytes."""
    is_little: bool


class Lookup:
    """Reads attributes of one frame: from the dataset, else its functional groups (PS3.3, C.7.6.16)."""

    def __init__(self, file: DicomFile, frame: int) -> None:
        self._file, self._values = file, Values(file)
        self._groups = [*self._group(PER_FRAME, frame - 1), *self._group(SHARED, 0)]

    def look(self) -> Look:
        """Everything but the palettes, which are needed of few files."""
        layout = layout_of(self._file)
        center, width = (self._number(tag, "DS", _VOI) for tag in (_CENTER, _WIDTH))
        slope, intercept = (self._number(tag, "DS", _TRANSFORMATION) for tag in (_SLOPE, _INTERCEPT))
        is_signed = self._number(0x00280103, "US") == 1
        return Look(
            layout=layout,
            stored_bits=int(self._number(0x00280101, "US") or layout.bits),
            is_signed=is_signed,
            is_planar=self._number(0x00280006, "US") == 1,
            slope=1.0 if slope is None else slope,
            intercept=intercept or 0.0,
            window=(center, width) if center is not None and width is not None and width > 0 else None,
            function=str(next(iter(self._all(_FUNCTION, "CS", _VOI)), "LINEAR")),
            padding=self._number(0x00280120, "SS" if is_signed else "US"),
            modality=self._table_of(_MODALITY, is_signed=is_signed),
            voi=self._table_of(_VOIS, is_signed=is_signed or bool(intercept and intercept < 0)),
        )

    def palettes(self) -> list[Table] | None:
        """Of red, green and blue; None where they are missing or written in segments."""
        found = []
        for number in (1, 2, 3):
            data = self._file.by_tag.get(0x00281200 + number)
            table = self._table(self._values.all(0x00281100 + number, "US"), data)
            if table is None:
                return None
            found.append(table)
        return found

    def _table_of(self, tag: int, *, is_signed: bool) -> Table | None:
        """That of the first item of a sequence; None where there is none, or it is written in segments."""
        for item in _items(self._file.elements, tag)[:1]:
            by_tag = {element.tag: element for element in item}
            described = by_tag.get(_DESCRIPTOR)
            if described is not None:
                descriptor = self._values.of(described, "SS" if is_signed else "US")
                return self._table(descriptor, by_tag.get(_DATA))
        return None

    def _table(self, descriptor: list[Value], data: Element | None) -> Table | None:
        if len(descriptor) != 3 or data is None or data.length in (0, UNDEFINED):
            return None
        entries, first, bits = (int(value) if isinstance(value, int | float) else 0 for value in descriptor)
        entries = entries % MOST_ENTRIES or MOST_ENTRIES
        size = 1 if bits <= 8 and data.length < 2 * entries else 2
        raw = self._file.source.read(data.start, min(data.length, size * entries))
        return Table(first, bits, raw, size, self._file.is_little) if len(raw) >= size else None

    def _number(self, tag: int, vr: str, group: int = 0) -> float | None:
        value = next(iter(self._all(tag, vr, group)), None)
        return float(value) if isinstance(value, int | float) else None

    def _all(self, tag: int, vr: str, group: int) -> list[Value]:
        if tag in self._file.by_tag:
            return self._values.all(tag, vr)
        for functional in self._groups:
            for item in _items(functional, group)[:1]:
                for element in item:
                    if element.tag == tag:
                        return self._values.of(element, vr)
        return []

    def _group(self, tag: int, at: int) -> list[list[Element]]:
        element = self._file.by_tag.get(tag)
        return (element.items or [])[at : at + 1] if element is not None else []


def _items(elements: list[Element], tag: int) -> list[list[Element]]:
    return next((element.items or [] for element in elements if element.tag == tag), [])
