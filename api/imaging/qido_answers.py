"""Studies, series and instances as QIDO-RS answers them (PS3.18, 10.6.3.3)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.imaging.dicom_json import UTF8, Attributes, add_columns
from models.imaging.matching import Key, Level, Search
from models.imaging.ports import DICOM
from models.imaging.tables import RadiologyImage
from tasks.clients.dicom.keywords import ALL, OF_REQUEST, REQUEST

ONLINE = {"vr": "CS", "Value": ["ONLINE"]}
UIDS = ("StudyInstanceUID", "SeriesInstanceUID")
OF_SERIES = ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime", "TimezoneOffsetFromUTC")
OF_INSTANCE = ("BitsAllocated", "TimezoneOffsetFromUTC")
_NUMBERS = ("US", "UL", "SS", "SL", "FL", "FD")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def answer(row: Sequence[Any], wanted: Search, base: str, is_within: int) -> Attributes:
    """One object for one row (study, series, image). `is_within` is the level of the last UID in the address, or 0.

    What lies above that is known to who asks: of it the UIDs alone are told, and what is asked for.
    """
    found: Attributes = {"00080005": UTF8, "00080056": ONLINE, "00081190": _address(row, base)}
    for level, table in zip(Level, row, strict=False):
        is_told = level > is_within or level is wanted.level
        add_columns(found, level, table, None if is_told else lambda key: _is_asked(key, wanted))
    if wanted.level is Level.INSTANCE:
        _add_metadata(found, row[2], wanted)
    return dict(sorted(found.items()))


def with_kept(found: Attributes, metadata: Mapping[str, Any]) -> Attributes:
    """A series with what an image says of it and Table 10.6.3-4 wants told."""
    _add_from(found, metadata, lambda tag, keyword: keyword in OF_SERIES)
    number, keyword = REQUEST
    if requests := metadata.get(keyword):
        found[f"{number:08X}"] = {"vr": "SQ", "Value": [_request(item) for item in requests]}
    return dict(sorted(found.items()))


def _request(item: Mapping[str, str]) -> Attributes:
    return {
        f"{tag:08X}": {"vr": vr, "Value": [item[keyword]]}
        for tag, (keyword, vr) in OF_REQUEST.items()
        if keyword in item
    }


def _is_asked(key: Key, wanted: Search) -> bool:
    return key.keyword in UIDS or wanted.wants(key.tag, key.keyword)


def _address(row: Sequence[Any], base: str) -> dict[str, Any]:
    address = f"{base}/studies/{row[0].study_uid}"
    if len(row) > 1:
        address += f"/series/{row[1].series_uid}"
    if len(row) > 2:
        address += f"/instances/{row[2].image_uid}"
    return {"vr": "UR", "Value": [address]}


def _add_metadata(found: Attributes, image: RadiologyImage, wanted: Search) -> None:
    """What the image says of itself and is asked for."""
    if image.mime_type == DICOM:
        _add_from(found, image.image_metadata, wanted.wants)
        _add_from(found, image.image_metadata, lambda tag, keyword: keyword in OF_INSTANCE)


def _add_from(found: Attributes, metadata: Mapping[str, Any], is_asked: Callable[[str, str], bool]) -> None:
    for number, (keyword, vr) in ALL.items():
        tag = f"{number:08X}"
        if tag in found or keyword not in metadata or not is_asked(tag, keyword):
            continue
        value = metadata[keyword]
        values = value if isinstance(value, list) else [value]
        if vr not in _NUMBERS or all(isinstance(one, int | float) for one in values):
            found[tag] = {"vr": vr, "Value": [_written(one, vr) for one in values]}


def _written(value: Any, vr: str) -> Any:
    if vr == "PN":
        groups = zip(_GROUPS, str(value).split("="), strict=False)
        return {name: group for name, group in groups if group} or None
    if vr in _NUMBERS or vr in ("DS", "IS"):
        return value
    return str(value)
