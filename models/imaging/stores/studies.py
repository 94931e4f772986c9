"""Studies as somebody may see them, with their series and images; and notes beside images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session, defer

from models.imaging.stores.descriptions import FORGET
from models.imaging.tables import RadiologyImage, RadiologyOrder, RadiologySeries, RadiologyStudy
from models.kernel.audit import Action, Actor, record, record_many
from models.kernel.clock import utc_now
from models.kernel.errors import NotFoundError
from models.people.stores.patients import find_by_code
from models.people.stores.reads import note_read

STUDY, IMAGE = "radiology_study", "radiology_image"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller may see: studies without an order or not, and of one study alone where `study_uid` is given."""

    sees_unassigned: bool
    study_uid: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same about rows of `radiology_study`."""
        found: list[ColumnElement[bool]] = []
        if not self.sees_unassigned:
            found.append(RadiologyStudy.radiology_order_id.is_not(None))
        if self.study_uid is not None:
            found.append(RadiologyStudy.study_uid == self.study_uid)
        return found

    def allows(self, study: RadiologyStudy) -> bool:
        """The same about one study."""
        is_assigned = study.radiology_order_id is not None
        return (is_assigned or self.sees_unassigned) and self.study_uid in (None, study.study_uid)


@dataclass(frozen=True, slots=True)
class StudyFilter:
    """Which studies; what is left empty does not matter. Both days of the range are in it."""

    radiology_order_id: int | None = None
    patient_code: str = ""
    modality: str = ""
    date_from: date | None = None
    date_to: date | None = None
    is_unassigned: bool | None = None
    q: str = ""
    """Words, each of which is in the patient's name or description or begins the patient's or accession number."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image with its series and study."""

    image: RadiologyImage
    series: RadiologySeries
    study: RadiologyStudy


def list_studies(
    session: Session, tenant_id: int, wanted: StudyFilter, seen: Seen, *, page: int = 1, size: int = 25
) -> tuple[Sequence[RadiologyStudy], int]:
    """A page of the studies that are seen, the latest examination first; and how many there are."""
    study = RadiologyStudy
    conditions = [study.tenant_id == tenant_id, *seen.conditions(), *_fitting(session, tenant_id, wanted)]
    total = session.scalar(select(func.count()).select_from(study).where(*conditions)) or 0
    ordered = select(study).where(*conditions).order_by(study.study_date.desc().nulls_last(), study.id.desc())
    return session.scalars(ordered.limit(size).offset((page - 1) * size)).all(), total


def get_study(session: Session, tenant_id: int, study_id: int, seen: Seen) -> RadiologyStudy:
    """NotFoundError for what the tenant has not, and for what is not seen."""
    study = session.get(RadiologyStudy, (tenant_id, study_id))
    if study is None or not seen.allows(study):
        # Without the id where it is ours: nobody reached for another tenant's.
        raise NotFoundError(f"no study {study_id}", resource=STUDY, resource_id=study_id if study is None else None)
    return study


def get_study_by_uid(session: Session, tenant_id: int, study_uid: str, seen: Seen) -> RadiologyStudy:
    """The same by StudyInstanceUID. Another tenant may have a study of this UID: that is nobody's trespass."""
    wanted = select(RadiologyStudy).where(
        RadiologyStudy.tenant_id == tenant_id, RadiologyStudy.study_uid == study_uid, *seen.conditions()
    )
    study = session.scalar(wanted)
    if study is None:
        raise NotFoundError("no study of this UID", resource=STUDY)
    return study


def series_of(session: Session, study: RadiologyStudy) -> Sequence[RadiologySeries]:
    """In the order of their numbers."""
    series = RadiologySeries
    wanted = select(series).where(series.tenant_id == study.tenant_id, series.study_id == study.id)
    return session.scalars(wanted.order_by(series.series_number.nulls_last(), series.id)).all()


def images_of(
    session: Session, of: RadiologyStudy | RadiologySeries, *, with_metadata: bool = False
) -> Sequence[RadiologyImage]:
    """The images of a study or a series, series by series in the order of their numbers.

    Without `image_metadata` unless it is asked for: of thousands it is megabytes.
    """
    image, series = RadiologyImage, RadiologySeries
    wanted = (
        select(image)
        .join(series, (series.tenant_id == image.tenant_id) & (series.id == image.series_id))
        .where(image.tenant_id == of.tenant_id)
        .where(series.study_id == of.id if isinstance(of, RadiologyStudy) else image.series_id == of.id)
        .order_by(series.series_number.nulls_last(), series.id, image.instance_number.nulls_last(), image.id)
    )
    if not with_metadata:
        wanted = wanted.options(defer(image.image_metadata, raiseload=True))
    return session.scalars(wanted).all()


def get_image(session: Session, tenant_id: int, image_id: int, seen: Seen) -> ImageRow:
    """NotFoundError for what the tenant has not, and for what is not seen."""
    row = session.execute(_image_rows(tenant_id).where(RadiologyImage.id == image_id)).one_or_none()
    if row is None or not seen.allows(row[2]):
        raise NotFoundError(f"no image {image_id}", resource=IMAGE, resource_id=image_id if row is None else None)
    return ImageRow(*row)


def get_image_by_uid(session: Session, tenant_id: int, image_uid: str, seen: Seen) -> ImageRow:
    """The same by SOPInstanceUID."""
    wanted = _image_rows(tenant_id).where(RadiologyImage.image_uid == image_uid, *seen.conditions())
    row = session.execute(wanted).one_or_none()
    if row is None:
        raise NotFoundError("no image of this UID", resource=IMAGE)
    return ImageRow(*row)


def note_study_read(session: Session, tenant_id: int, actor: Actor, study: RadiologyStudy) -> None:
    """Audit that the actor is being shown this study."""
    note_studies_read(session, tenant_id, actor, (study,))


def note_studies_read(session: Session, tenant_id: int, actor: Actor, studies: Iterable[RadiologyStudy]) -> None:
    """Audit a reading of each order's patient; a study without an order has none of ours, and is named itself."""
    shown = tuple(studies)
    orders = [study.radiology_order_id for study in shown if study.radiology_order_id is not None]
    if orders:
        wanted = select(RadiologyOrder.patient_id).where(
            RadiologyOrder.tenant_id == tenant_id, RadiologyOrder.id.in_(orders)
        )
        note_read(session, tenant_id, actor, sorted(session.scalars(wanted)))
    unassigned = [study.id for study in shown if study.radiology_order_id is None]
    record_many(session, tenant_id, actor, [Action("study.read", STUDY, one, {}) for one in unassigned])


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object of an image was looked for."""

    image_id: int
    backend: str
    key: str


def note_problem(session: Session, tenant_id: int, actor: Actor, place: Place, problem: str) -> bool:
    """Note that the object there is `corrupt` or `missing`; audited once, when it becomes known.

    False where it is the image's no more: it was moved, or restored, since its row was read.
    """
    wanted = select(RadiologyImage).where(RadiologyImage.tenant_id == tenant_id, RadiologyImage.id == place.image_id)
    image = session.scalar(wanted.with_for_update())
    if image is None or image.backend != place.backend or place.key not in (image.file_key, image.wrapped_key):
        return False
    if image.problem == problem:
        return True
    before, image.problem, image.checked_at = image.problem, problem, utc_now()
    session.flush()
    changes = {"problem": [before, problem], "backend": image.backend}
    for forget in FORGET:
        session.execute(forget, {"tenant_id": tenant_id, "id": image.id})
    record(session, tenant_id, actor, Action("image.problem", IMAGE, image.id, changes))
    return True


def _image_rows(tenant_id: int) -> Select[tuple[RadiologyImage, RadiologySeries, RadiologyStudy]]:
    image, series, study = RadiologyImage, RadiologySeries, RadiologyStudy
    return (
        select(image, series, study)
        .join(series, (series.tenant_id == image.tenant_id) & (series.id == image.series_id))
        .join(study, (study.tenant_id == series.tenant_id) & (study.id == series.study_id))
        .where(image.tenant_id == tenant_id)
    )


def _fitting(session: Session, tenant_id: int, wanted: StudyFilter) -> list[ColumnElement[bool]]:
    study = RadiologyStudy
    found: list[ColumnElement[bool]] = []
    if wanted.radiology_order_id is not None:
        found.append(study.radiology_order_id == wanted.radiology_order_id)
    if wanted.is_unassigned is not None:
        no_order: Any = study.radiology_order_id.is_(None)
        found.append(no_order if wanted.is_unassigned else ~no_order)
    if wanted.modality:
        found.append(or_(study.modality == wanted.modality, study.modalities.contains([wanted.modality])))
    if wanted.date_from is not None:
        found.append(study.study_date >= wanted.date_from)
    if wanted.date_to is not None:
        found.append(study.study_date <= wanted.date_to)
    if wanted.patient_code:
        found.append(_of_patient(session, tenant_id, wanted.patient_code))
    found += [_has(word) for word in wanted.q.split()[:6]]
    return found


def _of_patient(session: Session, tenant_id: int, code: str) -> ColumnElement[bool]:
    """Studies whose files say this code, and those of the orders of the patient who has it, or had it."""
    order = RadiologyOrder
    patient = find_by_code(session, tenant_id, code)
    if patient is None:
        return RadiologyStudy.patient_code == code
    theirs = select(order.id).where(order.tenant_id == tenant_id, order.patient_id == patient.id)
    return or_(RadiologyStudy.patient_code == code, RadiologyStudy.radiology_order_id.in_(theirs))


def _has(word: str) -> ColumnElement[bool]:
    study = RadiologyStudy
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return or_(
        *(column.ilike(f"%{escaped}%") for column in (study.patient_name, study.study_description)),
        *(column.ilike(f"{escaped}%") for column in (study.patient_code, study.accession_number)),
    )
