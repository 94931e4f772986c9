"""Complete files as they are offered to the intake."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from models.imaging.rules import Declared
from models.imaging.tables import ImageUpload

SYNC = "sync"
"""The source of what was declared before it came: of other files the sender said nothing that could differ."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A complete file at `path`, which is taken over and removed once it is stored.

    `checksum` and `size` are what its sender said, `digest` is its SHA-256 where it was computed on the way in.
    `settle` makes the file durable, where it is not yet: it is called before anything durable refers to the file.
    """

    path: Path
    filename: str
    source: str
    user_id: int | None = None
    checksum: str | None = None
    size: int | None = None
    digest: str | None = None
    settle: Callable[[], None] | None = None
    mime_type: str | None = None
    declared: Declared = field(default_factory=Declared)
    radiology_order_id: int | None = None
    upload_id: int | None = None
    series_number: int | None = None
    series_description: str = ""
    study_description: str = ""
    modality: str = ""
    instance_number: int | None = None


def offer_of(upload: ImageUpload, path: Path) -> Offer:
    """A complete upload as it is offered to the intake."""
    declared = upload.declared
    return Offer(
        path=path,
        filename=upload.filename,
        source=upload.source,
        user_id=upload.uploaded_by,
        checksum=upload.checksum,
        size=upload.file_size,
        mime_type=upload.mime_type,
        declared=_said(upload) if upload.source == SYNC else Declared(),
        radiology_order_id=upload.radiology_order_id,
        upload_id=upload.id,
        series_number=declared.get("series_number"),
        series_description=declared.get("series_description", ""),
        study_description=declared.get("study_description", ""),
        modality=declared.get("modality") or "",
        instance_number=declared.get("instance_number"),
    )


def _said(upload: ImageUpload) -> Declared:
    return Declared(
        study_uid=upload.study_uid,
        series_uid=upload.series_uid,
        image_uid=upload.image_uid,
        patient_code=upload.declared.get("patient_code"),
        accession_number=upload.declared.get("accession_number"),
    )
