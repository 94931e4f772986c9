"""What people and programs send about images."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from models.imaging.ports import DICOM, JPEG, PNG
from models.imaging.terms import MODALITIES
from models.imaging.uids import LONGEST_UID, uid
from models.kernel.fields import Code, Id, Line, Name, Report, Text, one_line

MOST_IMAGES = 5000
"""Of one declaration."""
_CODE_STRING = re.compile(r"[A-Za-z0-9 _]{1,16}")


def _modality(value: str) -> str:
    if value.upper() not in MODALITIES:
        raise ValueError("is not a modality of DICOM (CR, CT, DX, MR, US ...)")
    return value.upper()


def _code_string(value: str) -> str:
    if _CODE_STRING.fullmatch(value) is None:
        raise ValueError("is not a code: at most 16 letters, digits, spaces and underscores")
    return value.upper()


def _mime_type(value: str) -> str:
    if value not in (DICOM, JPEG, PNG):
        raise ValueError(f"is none of {DICOM}, {JPEG}, {PNG}")
    return value


Uid = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_UID), AfterValidator(uid)]
Modality = Annotated[str, StringConstraints(strip_whitespace=True, max_length=16), AfterValidator(_modality)]
AnyModality = Annotated[str, StringConstraints(strip_whitespace=True, max_length=16), AfterValidator(_code_string)]
"""What is looked for: files may name a modality that DICOM does not define, or no longer (CS: PS3.5, 6.2)."""
Sha256 = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_lower=True, pattern="^[0-9a-fA-F]{64}$"),
    Field(examples=["0" * 64]),
]
Accession = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16), AfterValidator(one_line)
]
"""At most 16 characters: DICOM's SH."""


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OrderIn(_In):
    """An examination to be done. Without an accession number one is made."""

    patient_id: Id
    procedure: Name
    modality: Modality
    body_part: Line = ""
    reason: Text = ""
    priority: Annotated[str, Field(pattern="^(stat|urgent|routine)$")] = "routine"
    accession_number: Accession | None = None


class ReviewIn(_In):
    """What the doctor found; `version` is the order's as it was read, `image_count` its study's."""

    review_note: Annotated[Report, Field(min_length=1)]
    version: int
    image_count: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None, description="How many images the study had when it was read: refused where more came since"
    )


class AssignIn(_In):
    """The order a study belongs to."""

    radiology_order_id: Id


class RejectIn(_In):
    """Why an image is not to be used. It stays; the note stands beside it."""

    note: Annotated[Text, Field(min_length=1)]


class SettleIn(_In):
    """Why a held or unfinished upload is given up."""

    note: Annotated[Text, Field(min_length=1)]


class DeclaredImage(_In):
    """One file that will be sent. A DICOM file's UIDs are its own; those of a JPEG or PNG may be left out."""

    filename: Name
    file_size: Annotated[int, Field(ge=1)]
    checksum: Annotated[Sha256, Field(description="SHA-256 of the file in hexadecimal")]
    mime_type: Annotated[str, AfterValidator(_mime_type)] = DICOM
    image_uid: Uid | None = None
    series_uid: Uid | None = None
    series_number: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    series_description: Line = ""
    instance_number: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None

    @model_validator(mode="after")
    def _dicom_has_uids(self) -> Self:
        if self.mime_type == DICOM and not (self.image_uid and self.series_uid):
            raise ValueError("a DICOM file is declared with its own series_uid and image_uid")
        return self


class DeclarationIn(_In):
    """What will be uploaded: the study, whose it is, and its files. The binaries follow, each on its own."""

    study_uid: Uid | None = None
    radiology_order_id: Id | None = None
    patient_id: Annotated[Code | None, Field(description="The patient's code, as in the files (0010,0020)")] = None
    accession_number: Accession | None = None
    study_description: Line = ""
    modality: Modality | None = None
    images: Annotated[list[DeclaredImage], Field(min_length=1, max_length=MOST_IMAGES)]

    @model_validator(mode="after")
    def _study_is_known(self) -> Self:
        if self.study_uid is None and any(image.mime_type == DICOM for image in self.images):
            raise ValueError("a DICOM file is declared with its own study_uid")
        has_codes = self.accession_number is not None and self.patient_id is not None
        if self.study_uid is None and self.radiology_order_id is None and not has_codes:
            raise ValueError("study_uid or radiology_order_id is needed, or accession_number with patient_id")
        return self
