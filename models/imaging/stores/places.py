"""Which objects a study, series or instance consists of, and where frames lie in them; as far as they may be seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from models.imaging.ports import DICOM
from models.imaging.stores.studies import Place, Seen
from models.imaging.tables import ImageDescription, RadiologyImage, RadiologySeries, RadiologyStudy
from models.kernel.errors import NotFoundError

_COLUMNS = (
    *(RadiologyImage.id, RadiologyImage.image_uid, RadiologyImage.backend, RadiologyImage.rows),
    *(RadiologyImage.frames, RadiologyImage.transfer_syntax_uid, RadiologyImage.file_key, RadiologyImage.file_size),
    *(RadiologyImage.checksum, RadiologyImage.mime_type, RadiologyImage.wrapped_key, RadiologyImage.wrapped_size),
    RadiologyImage.wrapped_checksum,
    select(ImageDescription.id)
    .where(ImageDescription.tenant_id == RadiologyImage.tenant_id, ImageDescription.image_id == RadiologyImage.id)
    .correlate(RadiologyImage)
    .scalar_subquery()
    .label("description_id"),
)


@dataclass(frozen=True, slots=True)
class DicomObject:
    """The DICOM file of an image: its own, or of a picture the Secondary Capture made of it."""

    image_id: int
    image_uid: str
    series_id: int
    transfer_syntax_uid: str
    backend: str
    key: str
    size: int
    checksum: str
    frames: int
    has_pixels: bool
    description_id: int | None = None
    """Of what is kept of it; None where nothing is."""

    @property
    def place(self) -> Place:
        """Where it is read."""
        return Place(self.image_id, self.backend, self.key)


@dataclass(frozen=True, slots=True)
class Found:
    """A study, and those of its objects that were asked for: in the order of their numbers, at least one."""

    study: RadiologyStudy
    objects: Sequence[DicomObject]


def find(
    session: Session, tenant_id: int, seen: Seen, study_uid: str, series_uid: str = "", image_uid: str = ""
) -> Found:
    """NotFoundError for what the tenant has not, what is not seen, and what has no image."""
    image, series = RadiologyImage, RadiologySeries
    statement = _of(select(RadiologyStudy, series.id.label("series"), *_COLUMNS), tenant_id, seen, study_uid)
    if series_uid:
        statement = statement.where(series.series_uid == series_uid)
    if image_uid:
        statement = statement.where(image.image_uid == image_uid)
    statement = statement.order_by(series.series_number, series.id, image.instance_number, image.id)
    rows = session.execute(statement).all()
    if not rows:
        raise NotFoundError("no such study, series or instance")
    return Found(rows[0][0], [_object(row) for row in rows])


def find_series(
    session: Session, tenant_id: int, seen: Seen, study_uid: str, series_uid: str = ""
) -> tuple[RadiologyStudy, Sequence[RadiologySeries]]:
    """The study and its series that have images, or the one of them; NotFoundError."""
    study, series = RadiologyStudy, RadiologySeries
    statement = (
        select(study, series)
        .join(series, (series.tenant_id == study.tenant_id) & (series.study_id == study.id))
        .where(study.tenant_id == tenant_id, study.study_uid == study_uid, series.image_count > 0, *seen.conditions())
        .order_by(series.series_number, series.id)
    )
    if series_uid:
        statement = statement.where(series.series_uid == series_uid)
    rows = session.execute(statement).all()
    if not rows:
        raise NotFoundError("no such study or series")
    return rows[0][0], [row[1] for row in rows]


def refuse_unseen(session: Session, tenant_id: int, seen: Seen, study_uid: str, series_uid: str = "") -> None:
    """NotFoundError unless there is such a study, or series of it, for the caller to see."""
    find_series(session, tenant_id, seen, study_uid, series_uid)


def places_of(session: Session, tenant_id: int, image_id: int) -> bytes | None:
    """Where frames and bulk data of an image lie, zlib-compressed JSON; None while it is not described."""
    described = ImageDescription
    wanted = select(described.places_deflated).where(described.tenant_id == tenant_id, described.image_id == image_id)
    return session.scalar(wanted)


def _of(statement: Select[Any], tenant_id: int, seen: Seen, study_uid: str) -> Select[Any]:
    image, series, study = RadiologyImage, RadiologySeries, RadiologyStudy
    return (
        statement.join(series, (series.tenant_id == study.tenant_id) & (series.study_id == study.id))
        .join(image, (image.tenant_id == series.tenant_id) & (image.series_id == series.id))
        .where(study.tenant_id == tenant_id, study.study_uid == study_uid, *seen.conditions())
    )


def object_of(row: Row[Any] | RadiologyImage, series_id: int) -> DicomObject:
    """The DICOM object of an image's columns."""
    key, size, checksum = row.file_key, row.file_size, row.checksum
    if row.mime_type != DICOM and row.wrapped_key is not None:
        key, size, checksum = row.wrapped_key, row.wrapped_size or 0, row.wrapped_checksum or ""
    return DicomObject(
        image_id=row.id,
        image_uid=row.image_uid,
        series_id=series_id,
        transfer_syntax_uid=row.transfer_syntax_uid,
        backend=row.backend,
        key=key,
        size=size,
        checksum=checksum,
        frames=row.frames,
        has_pixels=row.rows is not None,
        description_id=getattr(row, "description_id", None),
    )


def place_now(session: Session, tenant_id: int, found: DicomObject) -> DicomObject | None:
    """The same object where it lies now; None where these bytes are the image's no more."""
    image = session.get_one(RadiologyImage, (tenant_id, found.image_id), populate_existing=True)
    if found.checksum == image.checksum:
        return replace(found, backend=image.backend, key=image.file_key)
    if image.wrapped_key is not None and found.checksum == image.wrapped_checksum:
        return replace(found, backend=image.backend, key=image.wrapped_key)
    return None


def _object(row: Row[Any]) -> DicomObject:
    return object_of(row, row.series)
