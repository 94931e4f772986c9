"""What `read` answers of a DICOM file: the fields of `Instance`."""

import re
from datetime import date
from typing import Any

from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.keywords import FIELDS, OF_REQUEST, OTHERS, REQUEST
from tasks.clients.dicom.refusal import RefusalError
from tasks.clients.dicom.values import MOST_VALUES, Value, Values

MOST_TAG_CHARACTERS = 16_000
"""Of all texts in `tags` together."""
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-6]\d(\.\d{1,6})?)?)?")
_TEXTS = {
    "patient_code": "PatientID",
    "patient_sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_id": "StudyID",
    "study_description": "StudyDescription",
    "modality": "Modality",
    "series_description": "SeriesDescription",
    "body_part": "BodyPartExamined",
}


def uids_of(file: DicomFile) -> tuple[str, str, str]:
    """Of study, series and image; RefusalError `uids`.

    Their padding alone is removed: cleaned of anything else, one might become another's.
    """
    study, series, image = (file.uid(file.by_tag.get(tag)) for tag in (0x0020000D, 0x0020000E, 0x00080018))
    for keyword, uid in (("StudyInstanceUID", study), ("SeriesInstanceUID", series), ("SOPInstanceUID", image)):
        if not uid:
            raise RefusalError("uids", f"{keyword} is missing or is not a UID")
    return study, series, image


def instance_of(file: DicomFile) -> dict[str, Any]:
    """The fields of `Instance` by name; RefusalError `uids` where it does not say which image it is."""
    values = Values(file)
    found = {keyword: values.all(tag, vr) for tag, (keyword, vr) in FIELDS.items() if tag in file.by_tag}
    study, series, image = uids_of(file)
    return {
        "study_uid": study,
        "series_uid": series,
        "image_uid": image,
        "sop_class_uid": file.uid(file.by_tag.get(0x00080016)),
        "transfer_syntax_uid": file.syntax,
        **{name: _first(found.get(keyword)) for name, keyword in _TEXTS.items()},
        "patient_name": _alphabetic(_first(found.get("PatientName"))),
        "referring_physician": _alphabetic(_first(found.get("ReferringPhysicianName"))),
        "patient_birth_date": _date(_first(found.get("PatientBirthDate"))),
        "study_date": _date(_first(found.get("StudyDate"))),
        "study_time": _time(_first(found.get("StudyTime"))),
        "series_number": _integer(found.get("SeriesNumber")),
        "instance_number": _integer(found.get("InstanceNumber")),
        "rows": _integer(found.get("Rows")),
        "columns": _integer(found.get("Columns")),
        "frames": max(1, _integer(found.get("NumberOfFrames")) or 1),
        "tags": _tags(file, values, found),
    }


def _tags(file: DicomFile, values: Values, found: dict[str, list[Value]]) -> dict[str, Any]:
    tags: dict[str, Any] = {}
    left = MOST_TAG_CHARACTERS
    for tag, (keyword, vr) in OTHERS.items():
        if tag in file.by_tag:
            found[keyword] = values.all(tag, vr)
    for keyword, several in found.items():
        left -= sum(len(value) for value in several if isinstance(value, str))
        if several and left >= 0:
            tags[keyword] = several if len(several) > 1 else several[0]
    requests = _requests(file, values)
    if requests and left >= sum(len(text) for item in requests for text in item.values()):
        tags[REQUEST[1]] = requests
    return tags


def _requests(file: DicomFile, values: Values) -> list[dict[str, str]]:
    """What the file says of the requests it was made for, an item each."""
    element = file.by_tag.get(REQUEST[0])
    requests = []
    for item in ((element and element.items) or [])[:MOST_VALUES]:
        kept = {OF_REQUEST[one.tag][0]: _first(values.of(one, "SH")) for one in item if one.tag in OF_REQUEST}
        requests.append({keyword: text for keyword, text in kept.items() if text})
    return [request for request in requests if request]


def _first(values: list[Value] | None) -> str:
    return str(values[0]) if values else ""


def _alphabetic(name: str) -> str:
    return name.partition("=")[0].rstrip("^ ")


def _date(text: str) -> str:
    try:
        if len(text) == 8 and text.isascii() and text.isdigit():
            date(int(text[:4]), int(text[4:6]), int(text[6:]))
            return text
    except ValueError:
        pass
    return ""


def _time(text: str) -> str:
    return text if _TIME.fullmatch(text) else ""


def _integer(values: list[Value] | None) -> int | None:
    """A number that fits a column of 4 bytes."""
    if not values or not isinstance(values[0], int):
        return None
    return values[0] if abs(values[0]) < 2**31 else None
