"""The rules about images: pure, no database."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from models.imaging.ports import DICOM, Instance

RULES = {
    "checksum": "The file's SHA-256 is not the declared one",
    "size": "The file's size is not the declared one",
    "not_an_image": "The file is no DICOM, JPEG or PNG file",
    "mime_type": "The file is not of the declared type",
    "uids": "The file's own UIDs are not the declared ones, or not valid",
    "patient": "The patient in the file is not the order's or the declared one",
    "study_of_another": "The study is there already, with another patient",
    "series_elsewhere": "The series belongs to another study",
    "order_taken": "The order has another study",
    "order_differs": "The study belongs to another order",
    "executable": "The file begins like a program",
    "length": "A declared length is more than the file has: cut or forged",
    "deflate_bomb": "Inflated it would be larger than is accepted",
    "nesting": "Sequences lie deeper in each other than is accepted",
    "elements": "It has more elements than are accepted",
    "dicomdir": "A DICOMDIR is an index, not an image",
    "pixels": "It has more pixels than the memory of a parser allows (LABWIRE_IMAGE_PARSER_MEMORY_MB)",
    "unreadable": "The file cannot be read",
    "parser_died": "Reading it ended the process that did: to be looked at by a person",
    "parser_time": "Reading it took too long: to be looked at by a person",
    "parser_failed": "Reading it failed in a way nobody foresaw: to be looked at by a person",
    "codec": "Its compression is not supported",
    "other_bytes": "Another file is stored under this image UID",
}
"""Why a file is not let in, as people read it."""


HELD_RULES = frozenset(
    (
        "patient",
        "study_of_another",
        "series_elsewhere",
        "order_taken",
        "order_differs",
        "parser_died",
        "parser_time",
        "parser_failed",
    )
)
"""What is held though nobody declared it: a mix-up or an attack. Any other file stays the sender's."""


def why(rule: str) -> str:
    """The rule in words; its name where it has none."""
    return RULES.get(rule, rule)


class NotLetInError(Exception):
    """A rule keeps a file out: it is held or refused. `found` is what the file is and says, where it was read."""

    def __init__(self, rule: str, found: Instance | None = None, mime_type: str = DICOM) -> None:
        super().__init__(rule)
        self.rule, self.found, self.mime_type = rule, found, mime_type


@dataclass(frozen=True, slots=True)
class Declared:
    """What the sender said the file is. What is None was not said."""

    study_uid: str | None = None
    series_uid: str | None = None
    image_uid: str | None = None
    patient_code: str | None = None
    accession_number: str | None = None


def refuse_other_than_declared(found: Instance, declared: Declared) -> None:
    """NotLetInError unless the file's own UIDs and patient equal what was said of it."""
    pairs = (
        (declared.study_uid, found.study_uid),
        (declared.series_uid, found.series_uid),
        (declared.image_uid, found.image_uid),
    )
    if any(said is not None and said != own for said, own in pairs):
        raise NotLetInError("uids")
    if declared.patient_code is not None and declared.patient_code.strip() != found.patient_code:
        raise NotLetInError("patient")


def refuse_other_patient(found_code: str, known_codes: Collection[str]) -> None:
    """NotLetInError when the file's patient is none of the codes the order's patient is or was known by."""
    if found_code not in known_codes:
        raise NotLetInError("patient")


def dicom_date(text: str) -> date | None:
    """YYYYMMDD as a date; None for what is none."""
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 # a calendar day has no zone
    except ValueError:
        return None


def written_date(day: date | None) -> str:
    """A date as YYYYMMDD, the year with its zeros; empty for none."""
    return f"{day.year:04}{day:%m%d}" if day else ""


def shown_name(dicom_name: str) -> str:
    """`Family^Given^Middle^Prefix^Suffix` as people write it: `Given Middle Family`."""
    family, given, middle, prefix, suffix = (*dicom_name.split("^"), "", "", "", "", "")[:5]
    return " ".join(part.strip() for part in (prefix, given, middle, family, suffix) if part.strip())


def dicom_name(family_name: str, given_names: str) -> str:
    """A patient's name as DICOM writes it."""
    clean = str.maketrans({"^": " ", "=": " ", "\\": " "})
    return f"{family_name.translate(clean)}^{given_names.translate(clean)}".strip("^")


SEXES: Mapping[str, str] = {"female": "F", "male": "M", "other": "O"}
"""Ours as DICOM's (0010,0040)."""
