"""Images whose bytes are due to be read again, what was found, and which images the objects of a storage belong to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from models.imaging.stores.descriptions import FORGET
from models.imaging.tables import RadiologyImage, RadiologySeries, RadiologyStudy
from models.kernel.audit import Action, Actor, record_many

FOUND = text("""
UPDATE radiology_image i SET checked_at = now(), problem = :problem
FROM (SELECT id, problem AS before FROM radiology_image WHERE tenant_id = :tenant_id AND id = :id FOR UPDATE) AS old
WHERE i.tenant_id = :tenant_id AND i.id = old.id AND i.backend = :backend AND i.file_key = :key
    AND i.wrapped_key IS NOT DISTINCT FROM :wrapped_key
RETURNING old.before
""")


@dataclass(frozen=True, slots=True)
class Since:
    """An image is due that was not read since: a sound one, or one with a problem."""

    sound: datetime
    with_problem: datetime


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image and its one or two objects: key, SHA-256 in hex, size and type of each, the original first."""

    id: int
    image_uid: str
    backend: str
    objects: tuple[tuple[str, str, int, str], ...]
    problem: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """Of its objects."""
        return tuple(each[0] for each in self.objects)


def due_images(
    session: Session, tenant_id: int, since: Since, *, most: int, but: Collection[int] = ()
) -> Sequence[KeptImage]:
    """Those that are due, but for these; the longest unread first."""
    image = RadiologyImage
    is_due = or_(image.checked_at < since.sound, image.problem.is_not(None) & (image.checked_at < since.with_problem))
    wanted = select(image).where(image.tenant_id == tenant_id, is_due, image.id.not_in(but))
    return [kept(row) for row in session.scalars(wanted.order_by(image.checked_at, image.id).limit(most))]


def note_found(session: Session, tenant_id: int, actor: Actor, found: Sequence[tuple[KeptImage, str | None]]) -> int:
    """Write down the problem of each, or that it has none; how many. One that was moved meanwhile is left out."""
    noted, actions = 0, []
    for image, problem in sorted(found, key=lambda each: each[0].id):
        keys = (*image.keys, None)
        values = {"key": keys[0], "wrapped_key": keys[1], "backend": image.backend, "problem": problem}
        before = session.execute(FOUND, values | {"tenant_id": tenant_id, "id": image.id}).first()
        if before is None:
            continue
        noted += 1
        if before[0] != problem:
            changes = {"problem": [before[0], problem], "backend": image.backend}
            actions.append(Action("image.check", "radiology_image", image.id, changes))
            for forget in FORGET:
                session.execute(forget, {"tenant_id": tenant_id, "id": image.id})
    record_many(session, tenant_id, actor, actions)
    return noted


def with_problem(session: Session, tenant_id: int) -> Sequence[KeptImage]:
    """Every image with a problem."""
    image = RadiologyImage
    wanted = select(image).where(image.tenant_id == tenant_id, image.problem.is_not(None))
    return [kept(row) for row in session.scalars(wanted.order_by(image.id))]


def images_of_studies(session: Session, tenant_id: int, study_uids: Collection[str]) -> Sequence[KeptImage]:
    """Every image of these studies."""
    image, series, study = RadiologyImage, RadiologySeries, RadiologyStudy
    wanted = (
        select(image)
        .join(series, (series.tenant_id == image.tenant_id) & (series.id == image.series_id))
        .join(study, (study.tenant_id == series.tenant_id) & (study.id == series.study_id))
        .where(study.tenant_id == tenant_id, study.study_uid.in_(study_uids))
    )
    return [kept(row) for row in session.scalars(wanted)]


def images_by_uid(session: Session, tenant_id: int, image_uids: Collection[str]) -> dict[str, KeptImage]:
    """Those of these images that are there, by their UID."""
    image = RadiologyImage
    wanted = select(image).where(image.tenant_id == tenant_id, image.image_uid.in_(image_uids))
    return {row.image_uid: kept(row) for row in session.scalars(wanted)}


def studies_after(session: Session, tenant_id: int, study_id: int, *, most: int) -> Sequence[tuple[int, str]]:
    """Ids and UIDs of the tenant's studies, in the order of their ids."""
    study = RadiologyStudy
    wanted = select(study.id, study.study_uid).where(study.tenant_id == tenant_id, study.id > study_id)
    return [(row.id, row.study_uid) for row in session.execute(wanted.order_by(study.id).limit(most))]


def backends_of(session: Session, tenant_id: int) -> set[str]:
    """Where the tenant's images lie."""
    image = RadiologyImage
    return set(session.scalars(select(image.backend).where(image.tenant_id == tenant_id).distinct()))


def kept(row: RadiologyImage) -> KeptImage:
    """The row as it is handed around."""
    objects = [(row.file_key, row.checksum, row.file_size, row.mime_type)]
    if row.wrapped_key is not None:
        objects.append((row.wrapped_key, row.wrapped_checksum or "", row.wrapped_size or 0, "application/dicom"))
    return KeptImage(row.id, row.image_uid, row.backend, tuple(objects), row.problem)
