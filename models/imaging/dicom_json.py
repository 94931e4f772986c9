"""Rows of studies, series and images in the DICOM JSON Model (PS3.18, F)."""

from collections.abc import Callable, Sequence
from typing import Any

from models.imaging.matching import KEYS, Key, Level

Attributes = dict[str, dict[str, Any]]
UTF8 = {"vr": "CS", "Value": ["ISO_IR 192"]}
SYNTAX_TAG = "00083002"
_VRS = {
    "StudyTime": "TM",
    "ModalitiesInStudy": "CS",
    "Modality": "CS",
    "AccessionNumber": "SH",
    "StudyID": "SH",
    "PatientSex": "CS",
    "BodyPartExamined": "CS",
    "Rows": "US",
    "Columns": "US",
}
_OF_KIND = {"name": "PN", "date": "DA", "date_text": "DA", "uid": "UI", "number": "IS", "text": "LO"}


def _vr_of(key: Key) -> str:
    return _VRS.get(key.keyword) or _OF_KIND[key.kind]


_COLUMNS = {
    level: [(key, _vr_of(key), key.tag, key.column) for key in KEYS if key.level is level and key.column]
    for level in Level
}
_COUNTED = ("codes", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances")


def add_columns(found: Attributes, level: Level, row: Any, is_asked: Callable[[Key], bool] | None = None) -> None:
    """Add what a row of this level says and is asked for (everything where nothing is said); nothing that is empty."""
    for key, vr, tag, column in _COLUMNS[level]:
        value = getattr(row, column)
        if (value or value == 0) and (is_asked is None or is_asked(key)):
            found[tag] = {"vr": vr, "Value": _values(vr, value)}


def minimal(rows: Sequence[Any]) -> Attributes:
    """What the rows of study, series and image say of an image whose file could not be read for it."""
    found: Attributes = {"00080005": UTF8}
    for level, row in zip(Level, rows, strict=True):
        add_columns(found, level, row, lambda key: key.kind != "codes" and key.keyword not in _COUNTED)
    return dict(sorted(found.items()))


def _values(vr: str, value: Any) -> list[Any]:
    if vr == "PN":
        return [{"Alphabetic": value}]
    if vr == "DA" and not isinstance(value, str):
        return [f"{value.year:04}{value.month:02}{value.day:02}"]
    return value if isinstance(value, list) else [value]
