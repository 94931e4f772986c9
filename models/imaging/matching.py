"""QIDO-RS queries as an address has them (DICOM PS3.18, 8.3.4 and 10.6; PS3.4, C.2.2.2): pure, no database."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

from models.imaging.rules import dicom_date, written_date
from models.imaging.uids import is_uid
from models.kernel.errors import UnreadableError


class Level(IntEnum):
    """What a search looks for."""

    STUDY = 1
    SERIES = 2
    INSTANCE = 3


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute that can be matched; `column` is its name in the table of its level,
    empty where images alone keep it."""

    tag: str
    keyword: str
    level: Level
    column: str
    kind: str
    """`text`, `name`, `code` (a text that may be a list), `codes` (an array), `uid`, `date`, `date_text`, `time`,
    `number`; `item` for a text in the items of a sequence."""


_REQUEST = "RequestAttributesSequence"
KEYS = (
    Key("00080020", "StudyDate", Level.STUDY, "study_date", "date"),
    Key("00080030", "StudyTime", Level.STUDY, "study_time", "time"),
    Key("00080050", "AccessionNumber", Level.STUDY, "accession_number", "text"),
    Key("00080061", "ModalitiesInStudy", Level.STUDY, "modalities", "codes"),
    Key("00080090", "ReferringPhysicianName", Level.STUDY, "referring_physician", "name"),
    Key("00081030", "StudyDescription", Level.STUDY, "study_description", "text"),
    Key("00100010", "PatientName", Level.STUDY, "patient_name", "name"),
    Key("00100020", "PatientID", Level.STUDY, "patient_code", "text"),
    Key("00100030", "PatientBirthDate", Level.STUDY, "patient_birth_date", "date_text"),
    Key("00100040", "PatientSex", Level.STUDY, "patient_sex", "text"),
    Key("0020000D", "StudyInstanceUID", Level.STUDY, "study_uid", "uid"),
    Key("00200010", "StudyID", Level.STUDY, "study_id", "text"),
    Key("00201206", "NumberOfStudyRelatedSeries", Level.STUDY, "series_count", "number"),
    Key("00201208", "NumberOfStudyRelatedInstances", Level.STUDY, "image_count", "number"),
    Key("00080060", "Modality", Level.SERIES, "modality", "code"),
    Key("0008103E", "SeriesDescription", Level.SERIES, "series_description", "text"),
    Key("00180015", "BodyPartExamined", Level.SERIES, "body_part", "text"),
    Key("0020000E", "SeriesInstanceUID", Level.SERIES, "series_uid", "uid"),
    Key("00200011", "SeriesNumber", Level.SERIES, "series_number", "number"),
    Key("00201209", "NumberOfSeriesRelatedInstances", Level.SERIES, "image_count", "number"),
    Key("00400244", "PerformedProcedureStepStartDate", Level.SERIES, "", "date_text"),
    Key("00400245", "PerformedProcedureStepStartTime", Level.SERIES, "", "time"),
    Key("00400275.00400009", f"{_REQUEST}.ScheduledProcedureStepID", Level.SERIES, "", "item"),
    Key("00400275.00401001", f"{_REQUEST}.RequestedProcedureID", Level.SERIES, "", "item"),
    Key("00080016", "SOPClassUID", Level.INSTANCE, "sop_class_uid", "uid"),
    Key("00080018", "SOPInstanceUID", Level.INSTANCE, "image_uid", "uid"),
    Key("00083002", "AvailableTransferSyntaxUID", Level.INSTANCE, "transfer_syntax_uid", "uid"),
    Key("00200013", "InstanceNumber", Level.INSTANCE, "instance_number", "number"),
    Key("00280008", "NumberOfFrames", Level.INSTANCE, "frames", "number"),
    Key("00280010", "Rows", Level.INSTANCE, "rows", "number"),
    Key("00280011", "Columns", Level.INSTANCE, "columns", "number"),
)
_BY_NAME = {name.lower(): key for key in KEYS for name in (key.tag, key.keyword)}
DEFAULT_LIMIT, LARGEST_LIMIT, LARGEST_OFFSET = 100, 1000, 1_000_000_000
MOST_VALUES = 1000
"""Of one list of UIDs."""
_SINGLE = ("limit", "offset", "fuzzymatching", "emptyvaluematching", "multiplevaluematching", "accept", "charset")
_TIME = re.compile(r"(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?")
_TIME_ENDS = "235959999999"
_SEPARATORS = re.compile(r"[,\\]")


@dataclass(frozen=True, slots=True)
class Match:
    """One condition: a pattern for `text` and `name`, bounds for dates, times and numbers (None: open), or a list."""

    key: Key
    pattern: str = ""
    values: tuple[str, ...] = ()
    low: str | date | int | None = None
    high: str | date | int | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """A whole query. `include` are attributes asked for besides the usual ones, tags and keywords in lower case."""

    level: Level
    matches: tuple[Match, ...] = ()
    include: frozenset[str] = frozenset()
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    is_fuzzy: bool = False
    accept: str = ""

    @property
    def includes_all(self) -> bool:
        """Whether everything that is known is asked for."""
        return "all" in self.include

    def wants(self, tag: str, keyword: str) -> bool:
        """Whether this attribute is asked for by name."""
        return self.includes_all or tag.lower() in self.include or keyword.lower() in self.include


def read_search(level: Level, parameters: Iterable[tuple[str, str]]) -> Search:
    """The query of an address; UnreadableError names the parameter that is unknown or badly formed."""
    given: dict[Key, list[str]] = {}
    include: set[str] = set()
    single: dict[str, str] = {}
    for name, value in parameters:
        if name.lower() == "includefield":
            include |= {part.strip().lower() for part in value.split(",") if part.strip()}
        elif name in _SINGLE:
            if name in single:
                raise UnreadableError(f"{name} is given twice", field=name)
            single[name] = value
        else:
            given.setdefault(_key(name, level), []).append(value)
    matches = tuple(match for key, values in given.items() if (match := _match(key, values)) is not None)
    return Search(
        level=level,
        matches=matches,
        include=frozenset(include),
        limit=min(_whole("limit", single.get("limit", ""), DEFAULT_LIMIT), LARGEST_LIMIT),
        offset=_whole("offset", single.get("offset", ""), 0),
        is_fuzzy=_flag("fuzzymatching", single.get("fuzzymatching", "")),
        accept=single.get("accept", ""),
    )


def keyed(keyword: str) -> Key:
    """The attribute of this keyword."""
    return _BY_NAME[keyword.lower()]


def _key(name: str, level: Level) -> Key:
    key = _BY_NAME.get(name.lower())
    shown = name if len(name) <= 64 and name.isascii() and name.isalnum() else "a parameter"
    if key is None:
        raise UnreadableError(f"{shown} is no attribute that is matched here", field=shown)
    if key.level > level:
        raise UnreadableError(f"{shown} is not matched at this level: search for its own", field=shown)
    return key


def _match(key: Key, given: Sequence[str]) -> Match | None:
    """None where everything matches."""
    values = [value.strip() for value in given if value.strip()]
    if not values:
        return None
    if key.kind in ("uid", "code", "codes"):
        return _list(key, values)
    if len(values) > 1:
        raise UnreadableError(f"{key.keyword} is given twice", field=key.keyword)
    value = values[0]
    if key.kind in ("text", "name", "item"):
        return None if set(value) == {"*"} else Match(key, pattern=value)
    if key.kind == "number":
        number = _number(key.keyword, value)
        return Match(key, low=number, high=number)
    if key.kind == "time":
        return _times(key, value)
    return _dates(key, value)


def _list(key: Key, values: Sequence[str]) -> Match | None:
    parts = tuple(part.strip() for value in values for part in _SEPARATORS.split(value) if part.strip())
    if len(parts) > MOST_VALUES:
        raise UnreadableError(f"{key.keyword} has more than {MOST_VALUES} values", field=key.keyword)
    if key.kind == "uid":
        for part in parts:
            if not is_uid(part):
                raise UnreadableError(f"{key.keyword} is no UID, or list of UIDs", field=key.keyword)
    elif "*" in parts:
        return None
    return Match(key, values=parts) if parts else None


def _bounds(key: Key, value: str) -> tuple[str, str]:
    low, dash, high = value.partition("-")
    low, high = low.strip(), high.strip()
    if "-" in high or not (low or high):
        raise _malformed(key)
    return (low, high) if dash else (low, low)


def _dates(key: Key, value: str) -> Match:
    found = [dicom_date(part) if part.isascii() and len(part) == 8 else None for part in _bounds(key, value)]
    for part, day in zip(_bounds(key, value), found, strict=True):
        if part and day is None:
            raise _malformed(key)
    low, high = found
    if key.kind == "date":
        return Match(key, low=low, high=high)
    return Match(key, low=written_date(low) or None, high=written_date(high) or None)


def _times(key: Key, value: str) -> Match:
    """Bounds as twelve digits: what is left out of the lower one are zeros, of the upper one the last moment."""
    low, high = _bounds(key, value)
    digits = []
    for part, rest in ((low, "0" * 12), (high, _TIME_ENDS)):
        found = _TIME.fullmatch(part) if part.isascii() else None
        if part and found is None:
            raise _malformed(key)
        written = part.replace(".", "")
        digits.append(written + rest[len(written) :] if part else None)
    return Match(key, low=digits[0], high=digits[1])


def _malformed(key: Key) -> UnreadableError:
    what = "a time (HHMMSS) or range of times" if key.kind == "time" else "a date (YYYYMMDD) or range of dates"
    return UnreadableError(f"{key.keyword} is not {what}", field=key.keyword)


def _number(name: str, value: str) -> int:
    digits = value.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
        raise UnreadableError(f"{name} is not a whole number", field=name)
    return int(value)


def _whole(name: str, value: str, default: int) -> int:
    if not value.strip():
        return default
    number = _number(name, value.strip())
    if not 0 <= number <= LARGEST_OFFSET:
        raise UnreadableError(f"{name} is negative or too large", field=name)
    return number


def _flag(name: str, value: str) -> bool:
    if value.strip().lower() not in ("", "true", "false"):
        raise UnreadableError(f"{name} is neither true nor false", field=name)
    return value.strip().lower() == "true"
