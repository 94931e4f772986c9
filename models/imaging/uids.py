"""UIDs, file names and keys of images: what is let through, what is made here, where an object lies."""

import re
import unicodedata
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from models.kernel.errors import InvalidError

LONGEST_UID = 64
"""Characters (DICOM PS3.5, 9.1)."""
LONGEST_NAME = 100
"""Characters of a file name in a key: less than S3 (1,024 bytes of a key) and file systems (255) take."""
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def is_uid(text: str) -> bool:
    """Whether it is a UID: numbers without leading zeros, joined by dots, at most 64 characters (DICOM PS3.5, 9.1)."""
    return len(text) <= LONGEST_UID and text.isascii() and _UID.fullmatch(text) is not None


def uid(text: str) -> str:
    """The same for a field of pydantic's; ValueError where it is none."""
    if not is_uid(text):
        raise ValueError("is not a UID: numbers joined by dots, at most 64 characters")
    return text


def new_uid() -> str:
    """A new UID, `2.25.<uuid as a number>` (DICOM PS3.5, B.2)."""
    return _of(uuid4())


def derived_uid(*parts: object) -> str:
    """The same UID for the same parts, so that what is declared twice is one: from a UUID of version 5."""
    return _of(uuid5(NAMESPACE_OID, "labwire/" + "/".join(str(part) for part in parts)))


def safe_name(filename: str) -> str:
    """The last part of `filename` in ASCII letters, digits, `.`, `_`, `-`; never a hidden, relative or empty name."""
    last = filename.replace("\\", "/").rsplit("/", 1)[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    name = _UNSAFE.sub("_", plain).strip("._-")
    if len(name) > LONGEST_NAME:
        stem, dot, ending = name.rpartition(".")
        keep = LONGEST_NAME - len(ending) - len(dot)
        name = f"{stem[:keep]}{dot}{ending}" if stem and 0 < len(ending) <= 10 else name[:LONGEST_NAME]
    return name or "image"


def object_key(study_uid: str, series_uid: str, image_uid: str, filename: str) -> str:
    """`radiology/{study_uid}/{series_uid}/{image_uid}/{filename}`, below a tenant's root or prefix.

    InvalidError names a part that is not a UID.
    """
    for field, value in (("study_uid", study_uid), ("series_uid", series_uid), ("image_uid", image_uid)):
        if not is_uid(value):
            raise InvalidError(f"{field} is not a UID", field=field)
    return f"radiology/{study_uid}/{series_uid}/{image_uid}/{safe_name(filename)}"


def parts_of_key(key: str) -> tuple[str, str, str, str] | None:
    """Study, series and image UID and file name of a key; None where it is not one of ours."""
    parts = key.split("/")
    if len(parts) != 5 or parts[0] != "radiology" or not all(is_uid(part) for part in parts[1:4]):
        return None
    return (parts[1], parts[2], parts[3], parts[4]) if safe_name(parts[4]) == parts[4] else None


def _of(uuid: UUID) -> str:
    return f"2.25.{uuid.int}"
