"""Radiology orders, studies with their series and images, uploads on their way, and who may open a viewer."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow, references
from models.kernel.tables import NOW

NONE_YET = text("0")


class RadiologyOrder(TenantRow, Base):
    """An examination somebody asked for: `ordered`, `performed` once its study has an image, then `reviewed`.

    `reviewed_image_count` is the study's when the finding was written: images that came later are not in it.
    """

    __tablename__ = "radiology_order"
    __table_args__ = (
        Unique("tenant_id", "accession_number"),
        references("patient"),
        *(references("app_user", column) for column in ("ordered_by", "reviewed_by")),
        CheckConstraint("state IN ('ordered', 'performed', 'reviewed')", name="state"),
        CheckConstraint("(state = 'reviewed') = (reviewed_at IS NOT NULL)", name="reviewed"),
        CheckConstraint("state = 'ordered' OR performed_at IS NOT NULL", name="performed"),
        CheckConstraint("priority IN ('stat', 'urgent', 'routine')", name="priority"),
        Index(None, "tenant_id", "patient_id"),
        Index(None, "tenant_id", "state", "id"),
    )

    accession_number: Mapped[str]
    patient_id: Mapped[int]
    procedure: Mapped[str]
    modality: Mapped[str]
    body_part: Mapped[str] = mapped_column(server_default="")
    reason: Mapped[str] = mapped_column(server_default="")
    priority: Mapped[str] = mapped_column(server_default="routine")
    state: Mapped[str] = mapped_column(server_default="ordered")
    ordered_by: Mapped[int | None]
    ordered_at: Mapped[datetime] = mapped_column(server_default=NOW)
    performed_at: Mapped[datetime | None]
    reviewed_by: Mapped[int | None]
    reviewed_at: Mapped[datetime | None]
    review_note: Mapped[str | None]
    reviewed_image_count: Mapped[int | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class RadiologyStudy(TenantRow, Base):
    """A study, of one order or not yet assigned. Patient and description are what the first image said: a snapshot.

    `patient_code` is the DICOM PatientID. The counts are kept with every image, so that nobody has to count.
    """

    __tablename__ = "radiology_study"
    __table_args__ = (
        Unique("tenant_id", "study_uid"),
        Unique("tenant_id", "radiology_order_id"),
        references("radiology_order"),
        references("app_user", "assigned_by"),
        Index("radiology_study_newest_index", "tenant_id", text("study_date DESC NULLS LAST"), text("id DESC")),
        Index(None, "tenant_id", "patient_code"),
        Index(None, "tenant_id", "accession_number"),
    )

    study_uid: Mapped[str]
    radiology_order_id: Mapped[int | None]
    study_date: Mapped[date | None]
    study_time: Mapped[str] = mapped_column(server_default="")
    study_description: Mapped[str] = mapped_column(server_default="")
    study_id: Mapped[str] = mapped_column(server_default="")
    modality: Mapped[str] = mapped_column(server_default="")
    modalities: Mapped[list[str]] = mapped_column(server_default="{}")
    accession_number: Mapped[str] = mapped_column(server_default="")
    referring_physician: Mapped[str] = mapped_column(server_default="")
    patient_name: Mapped[str] = mapped_column(server_default="")
    patient_code: Mapped[str] = mapped_column(server_default="")
    patient_birth_date: Mapped[str] = mapped_column(server_default="")
    patient_sex: Mapped[str] = mapped_column(server_default="")
    series_count: Mapped[int] = mapped_column(server_default=NONE_YET)
    image_count: Mapped[int] = mapped_column(server_default=NONE_YET)
    total_bytes: Mapped[int] = mapped_column(server_default=NONE_YET)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    changed_at: Mapped[datetime] = mapped_column(server_default=NOW)
    assigned_at: Mapped[datetime | None]
    assigned_by: Mapped[int | None]


class RadiologySeries(TenantRow, Base):
    """A series of a study."""

    __tablename__ = "radiology_series"
    __table_args__ = (
        Unique("tenant_id", "series_uid"),
        references("radiology_study", "study_id"),
        Index(None, "tenant_id", "study_id"),
    )

    study_id: Mapped[int]
    series_uid: Mapped[str]
    series_number: Mapped[int | None]
    series_description: Mapped[str] = mapped_column(server_default="")
    modality: Mapped[str] = mapped_column(server_default="")
    body_part: Mapped[str] = mapped_column(server_default="")
    image_count: Mapped[int] = mapped_column(server_default=NONE_YET)
    total_bytes: Mapped[int] = mapped_column(server_default=NONE_YET)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    changed_at: Mapped[datetime] = mapped_column(server_default=NOW)


class RadiologyImage(TenantRow, Base):
    """One image: what it is, and where its bytes lie. Nothing here changes but notes, its place, and what checks found.

    `file_key` lies below the tenant's root at `backend`; `checksum` is the SHA-256 of the file in hex. A JPEG or PNG
    has a second object, `wrapped_*`, the same picture as a DICOM Secondary Capture. `problem` is what the last check
    found: `corrupt` or `missing`.
    """

    __tablename__ = "radiology_image"
    __table_args__ = (
        Unique("tenant_id", "image_uid"),
        Unique("tenant_id", "file_key"),
        references("radiology_series", "series_id"),
        *(references("app_user", column) for column in ("uploaded_by", "rejected_by")),
        CheckConstraint("problem IN ('corrupt', 'missing')", name="problem"),
        CheckConstraint("length(checksum) = 64", name="checksum"),
        CheckConstraint("(rejected_at IS NULL) = (rejection_note IS NULL)", name="rejected"),
        Index(None, "tenant_id", "series_id", "instance_number"),
        Index("radiology_image_checked_index", "tenant_id", "checked_at", "id"),
        Index("radiology_image_problem_index", "tenant_id", "id", postgresql_where=text("problem IS NOT NULL")),
    )

    series_id: Mapped[int]
    image_uid: Mapped[str]
    instance_number: Mapped[int | None]
    sop_class_uid: Mapped[str]
    transfer_syntax_uid: Mapped[str]
    rows: Mapped[int | None]
    columns: Mapped[int | None]
    frames: Mapped[int] = mapped_column(server_default=text("1"))
    backend: Mapped[str]
    file_key: Mapped[str]
    filename: Mapped[str]
    file_size: Mapped[int]
    mime_type: Mapped[str]
    checksum: Mapped[str]
    wrapped_key: Mapped[str | None]
    wrapped_size: Mapped[int | None]
    wrapped_checksum: Mapped[str | None]
    image_metadata: Mapped[dict[str, Any]]
    source: Mapped[str]
    uploaded_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    checked_at: Mapped[datetime] = mapped_column(server_default=NOW)
    problem: Mapped[str | None]
    rejected_at: Mapped[datetime | None]
    rejected_by: Mapped[int | None]
    rejection_note: Mapped[str | None]


class ImageDescription(TenantRow, Base):
    """All attributes of an image as DICOM JSON, made once.

    `metadata` is the gzip of an array of one object (models.imaging.packing), in older rows the zlib of the object.
    `places` is the zlib of JSON: where frames and bulk data lie in the file (models.imaging.ports.Description).
    """

    __tablename__ = "image_description"
    __table_args__ = (Unique("tenant_id", "image_id"), references("radiology_image", "image_id"))

    image_id: Mapped[int]
    metadata_deflated: Mapped[bytes]
    places_deflated: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class SeriesMetadata(TenantRow, Base):
    """The metadata of a whole series as it is served: a gzip of the JSON array, good while `image_count` is right."""

    __tablename__ = "series_metadata"
    __table_args__ = (Unique("tenant_id", "series_id"), references("radiology_series", "series_id"))

    series_id: Mapped[int]
    image_count: Mapped[int]
    body_gzip: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ImageUpload(TenantRow, Base):
    """A file that was declared and is on its way (`declared`), or came and could not be let in (`held`).

    It ends as `stored`, `expired` or `discarded`. The bytes so far lie at `.uploads/<id>` below the tenant's root.
    `rule` names what holds it. `declared` has the rest of what was said: series number, descriptions, patient.
    """

    __tablename__ = "image_upload"
    __table_args__ = (
        references("radiology_order"),
        references("radiology_image", "image_id"),
        *(references("app_user", column) for column in ("uploaded_by", "settled_by")),
        CheckConstraint("state IN ('declared', 'held', 'stored', 'expired', 'discarded')", name="state"),
        CheckConstraint("(state = 'held') <= (rule IS NOT NULL)", name="held"),
        CheckConstraint("(state IN ('stored', 'expired', 'discarded')) = (ended_at IS NOT NULL)", name="ended"),
        Index(
            "image_upload_open_key",
            *("tenant_id", "image_uid"),
            unique=True,
            postgresql_where=text("state = 'declared'"),
        ),
        Index(
            "image_upload_held_key",
            *("tenant_id", "image_uid", "checksum"),
            unique=True,
            postgresql_where=text("state = 'held'"),
        ),
        Index("image_upload_state_index", "tenant_id", "state", "id"),
        Index(None, "tenant_id", "study_uid"),
        Index(None, "tenant_id", "image_uid"),
    )

    source: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="declared")
    study_uid: Mapped[str]
    series_uid: Mapped[str]
    image_uid: Mapped[str]
    filename: Mapped[str]
    file_size: Mapped[int]
    mime_type: Mapped[str]
    checksum: Mapped[str]
    radiology_order_id: Mapped[int | None]
    declared: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    received_bytes: Mapped[int] = mapped_column(server_default=NONE_YET)
    rule: Mapped[str | None]
    image_id: Mapped[int | None]
    uploaded_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    touched_at: Mapped[datetime] = mapped_column(server_default=NOW)
    reminded_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    settled_by: Mapped[int | None]
    note: Mapped[str | None]


class ViewerGrant(TenantRow, Base):
    """An address of the viewer that somebody was given: it opens one study until it expires or is revoked."""

    __tablename__ = "viewer_grant"
    __table_args__ = (
        references("radiology_study", "study_id"),
        references("app_user", "user_id"),
        references("app_user", "revoked_by"),
        Index(None, "tenant_id", "study_id", "id"),
    )

    study_id: Mapped[int]
    user_id: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[int | None]
    openings: Mapped[int] = mapped_column(server_default=NONE_YET)
    requests: Mapped[int] = mapped_column(server_default=NONE_YET)
    last_used_at: Mapped[datetime | None]
