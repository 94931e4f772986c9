"""What the JSON API answers about studies and images: the documented fields, and some more."""

from datetime import date, datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from models.imaging.rules import shown_name
from models.imaging.stores.studies import ImageRow
from models.imaging.tables import RadiologyImage, RadiologySeries, RadiologyStudy, ViewerGrant
from models.people.tables import User


class StudyAnswer(BaseModel):
    """A study; what it says of the patient is what its first image said."""

    id: int
    study_uid: str
    radiology_order: int | None = Field(description="The order's id; null: not assigned yet")
    study_description: str
    modality: str
    study_date: date | None
    patient_name: str
    created_at: datetime = Field(description="In whole seconds")
    patient_id: str = Field(description="The patient's code in the files (0010,0020)")
    accession_number: str
    modalities: list[str]
    series_count: int
    image_count: int
    total_bytes: int

    @classmethod
    def of(cls, study: RadiologyStudy) -> Self:
        """From its row."""
        own = ("radiology_order", "patient_id", "patient_name", "created_at")
        return cls(
            **{name: getattr(study, name) for name in StudyAnswer.model_fields if name not in own},
            radiology_order=study.radiology_order_id,
            patient_id=study.patient_code,
            patient_name=shown_name(study.patient_name),
            created_at=study.created_at.replace(microsecond=0),  # `2026-01-15T10:00:00Z`, as documented
        )


class ViewerUrlAnswer(BaseModel):
    """Where to look at a study."""

    viewer_url: str
    study_uid: str
    expires_in: int = Field(description="Seconds")


class SeriesImageAnswer(BaseModel):
    """An image in its series."""

    image_uid: str
    filename: str
    file_size: int = Field(description="Bytes")
    mime_type: str
    instance_number: int | None
    image_url: str
    id: int
    checksum: str = Field(description="SHA-256 in hexadecimal")
    is_rejected: bool
    rejection_note: str | None
    problem: str | None = Field(description="What the last check found: corrupt or missing")

    @classmethod
    def of(cls, image: RadiologyImage, image_url: str) -> Self:
        """From its row."""
        names = ("image_uid", "filename", "file_size", "mime_type", "instance_number", "id", "checksum", "problem")
        return cls(
            **{name: getattr(image, name) for name in names},
            image_url=image_url,
            is_rejected=image.rejected_at is not None,
            rejection_note=image.rejection_note,
        )


class SeriesAnswer(BaseModel):
    """A series with its images."""

    series_uid: str
    series_description: str
    series_number: int | None
    modality: str
    images: list[SeriesImageAnswer]

    @classmethod
    def of(cls, series: RadiologySeries, images: list[SeriesImageAnswer]) -> Self:
        """From its row."""
        return cls(
            series_uid=series.series_uid,
            series_description=series.series_description,
            series_number=series.series_number,
            modality=series.modality,
            images=images,
        )


class StudyImagesAnswer(BaseModel):
    """The images of a study, grouped by series."""

    study_uid: str
    study_description: str
    series: list[SeriesAnswer]


class ImageUrlAnswer(BaseModel):
    """Where an image's file is fetched."""

    image_url: str
    image_uid: str
    filename: str
    expires_in: int = Field(description="Seconds")


class ImageAnswer(BaseModel):
    """All that is known of an image."""

    id: int
    image_uid: str
    series_uid: str
    study_uid: str
    study_id: int
    instance_number: int | None
    sop_class_uid: str
    transfer_syntax_uid: str
    rows: int | None
    columns: int | None
    frames: int
    filename: str
    file_key: str
    file_size: int = Field(description="Bytes")
    mime_type: str
    checksum: str = Field(description="SHA-256 in hexadecimal")
    backend: str = Field(description="filesystem or s3")
    source: str
    uploaded_by: int | None
    created_at: datetime
    checked_at: datetime
    problem: str | None
    rejected_at: datetime | None
    rejected_by: int | None
    rejection_note: str | None
    image_metadata: dict[str, Any] = Field(description="DICOM attributes by keyword, or a JPEG's EXIF fields by name")

    @classmethod
    def of(cls, row: ImageRow) -> Self:
        """From its rows."""
        own = ("series_uid", "study_uid", "study_id")
        return cls(
            **{name: getattr(row.image, name) for name in cls.model_fields if name not in own},
            series_uid=row.series.series_uid,
            study_uid=row.study.study_uid,
            study_id=row.study.id,
        )


class GrantAnswer(BaseModel):
    """A viewer's address that was given to somebody; the address itself is not kept."""

    id: int
    study_id: int
    user_id: int
    user_name: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: int | None
    openings: int
    requests: int = Field(description="Up to a few seconds behind")
    last_used_at: datetime | None

    @classmethod
    def of(cls, grant: ViewerGrant, user: User) -> Self:
        """From its rows."""
        fields = {name: getattr(grant, name) for name in GrantAnswer.model_fields if name != "user_name"}
        return cls(**fields, user_name=user.name)


class NewGrantAnswer(ViewerUrlAnswer):
    """A viewer's address just made; it is shown this once."""

    grant_id: int
    expires_at: datetime
