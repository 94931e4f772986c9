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
_COLUMNS = {
    level: [(key, _VRS.get(key.keyword) or _OF_KIND[key.kind]) for key in KEYS if key.level is level] for level in Level
}
_COUNTED = ("codes", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "NumberOfSeriesRelatedInstances")


def add_columns(found: Attributes, level: Level, row: Any, is_asked: Callable[[Key], bool]) -> None:
    """Add what a row of this level says and is asked for; nothing that is empty."""
    for key, vr in _COLUMNS[level]:
        value = getattr(row, key.column)
        if value not in (None, "", []) and is_asked(key):
            found[key.tag] = {"vr": vr, "Value": _values(vr, value)}


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
        return [f"{value:%Y%m%d}"]
    return value if isinstance(value, list) else [value]
