"""What is kept of what images say of themselves: made once, then served as it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.imaging.packing import as_packed, content, packed
from models.imaging.tables import ImageDescription, RadiologyImage, RadiologySeries, RadiologyStudy, SeriesMetadata

AT_ONCE = 200
SETTLED_SECONDS = 10
"""A series to which nothing was added for so long is likely to be whole."""


FORGET = (
    text("DELETE FROM image_description WHERE tenant_id = :tenant_id AND image_id = :id"),
    text(
        "DELETE FROM series_metadata WHERE tenant_id = :tenant_id AND series_id = "
        "(SELECT series_id FROM radiology_image WHERE tenant_id = :tenant_id AND id = :id)"
    ),
)
"""Whenever an image's object becomes another, or what is known of its damage changes: it is described anew."""


@dataclass(frozen=True, slots=True)
class Described:
    """An image's description as it is kept: the metadata packed, the places zlib-compressed.

    `checksum` is that of the bytes it was made of.
    """

    image_id: int
    checksum: str
    metadata: bytes
    places: bytes


def undescribed(
    session: Session,
    tenant_id: int,
    *,
    series_id: int | None = None,
    image_id: int | None = None,
    most: int = 1000,
    with_problem: bool = False,
) -> Sequence[Row[Any]]:
    """Study, series and image of images without a description: of a series, one of them, or of whichever.

    Without those known to be damaged, unless they are asked for or named.
    """
    image, series, study = RadiologyImage, RadiologySeries, RadiologyStudy
    known = (
        select(ImageDescription.id)
        .where(ImageDescription.tenant_id == image.tenant_id, ImageDescription.image_id == image.id)
        .scalar_subquery()
    )
    statement = (
        select(study, series, image)
        .join(series, (series.tenant_id == study.tenant_id) & (series.study_id == study.id))
        .join(image, (image.tenant_id == series.tenant_id) & (image.series_id == series.id))
        .where(study.tenant_id == tenant_id, known.is_(None))
        .order_by(image.id)
        .limit(most)
    )
    if series_id is not None:
        statement = statement.where(series.id == series_id)
    elif image_id is None:
        statement = statement.where(series.id.in_(_stale(tenant_id)))
    if image_id is not None:
        statement = statement.where(image.id == image_id)
    elif not with_problem:
        statement = statement.where(image.problem.is_(None))
    return session.execute(statement).all()


def stale_series(session: Session, tenant_id: int, *, most: int) -> Sequence[int]:
    """Series whose metadata is not made, to which nothing is being added just now, and of which nothing is damaged."""
    settled = func.now() - text(f"interval '{SETTLED_SECONDS} seconds'")
    image, series = RadiologyImage, RadiologySeries
    damaged = select(image.id).where(
        image.tenant_id == tenant_id, image.series_id == series.id, image.problem.is_not(None)
    )
    wanted = _stale(tenant_id).where(series.changed_at < settled, ~damaged.exists()).order_by(series.id)
    return session.scalars(wanted.limit(most)).all()


def get_series(session: Session, tenant_id: int, series_id: int) -> RadiologySeries:
    """One that is there."""
    return session.get_one(RadiologySeries, (tenant_id, series_id))


def keep(session: Session, tenant_id: int, described: Sequence[Described]) -> None:
    """Keep descriptions of objects that are the images' still; those that another has made meanwhile stay."""
    image = RadiologyImage
    now = (
        select(image.id, image.checksum, image.wrapped_checksum)
        .where(image.tenant_id == tenant_id, image.id.in_([one.image_id for one in described]))
        .order_by(image.id)
        .with_for_update(read=True)  # until the commit: who restores an image forgets what was described before
    )
    valid = {(row.id, checksum) for row in session.execute(now) for checksum in (row.checksum, row.wrapped_checksum)}
    rows = [
        {
            "tenant_id": tenant_id,
            "image_id": one.image_id,
            "metadata_deflated": one.metadata,
            "places_deflated": one.places,
        }
        for one in described
        if (one.image_id, one.checksum) in valid
    ]
    if rows:
        session.execute(insert(ImageDescription).on_conflict_do_nothing(), rows)


def metadata_of_image(session: Session, tenant_id: int, image_id: int) -> bytes | None:
    """The packed array of an image's DICOM JSON object; None while there is none."""
    row = ImageDescription
    kept = session.scalar(select(row.metadata_deflated).where(row.tenant_id == tenant_id, row.image_id == image_id))
    return kept if kept is None else as_packed(kept)


def kept_metadata(session: Session, tenant_id: int, series: RadiologySeries) -> bytes | None:
    """The gzip of the series' JSON array; None while it is not made, or images came since."""
    row = SeriesMetadata
    wanted = select(row.body_gzip).where(
        row.tenant_id == tenant_id, row.series_id == series.id, row.image_count == series.image_count
    )
    return session.scalar(wanted)


def kept_marks(session: Session, tenant_id: int, series: Sequence[RadiologySeries]) -> dict[int, str]:
    """By the ids of those series whose metadata is kept, what changes whenever that is made anew."""
    row = SeriesMetadata
    wanted = select(row.series_id, row.image_count, row.created_at).where(
        row.tenant_id == tenant_id, row.series_id.in_([one.id for one in series])
    )
    counts = {one.id: one.image_count for one in series}
    found = session.execute(wanted).all()
    return {kept: f"{kept} {made.isoformat()}" for kept, count, made in found if count == counts[kept]}


def lock_series(session: Session, tenant_id: int, series_id: int) -> RadiologySeries:
    """The series as it is now, for one maker of its metadata among all processes."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"series-metadata/{tenant_id}/{series_id}"},
    )
    wanted = select(RadiologySeries).where(RadiologySeries.tenant_id == tenant_id, RadiologySeries.id == series_id)
    return session.scalars(wanted.execution_options(populate_existing=True)).one()


def make_metadata(session: Session, tenant_id: int, series_id: int, instead: Mapping[int, bytes]) -> bytes:
    """Pack the descriptions of a series' images as one JSON array, and keep it.

    `instead` has what is said of images that have none; with any of these nothing is kept.
    """
    count = 0

    def objects() -> Iterator[Iterator[bytes]]:
        nonlocal count
        for image_id, described in _described(session, tenant_id, series_id):
            kept = described or instead.get(image_id)
            if kept is not None:
                count += 1
                yield content(kept)

    body = packed(objects())
    if instead:
        return body
    values = {"tenant_id": tenant_id, "series_id": series_id, "image_count": count, "body_gzip": body}
    made = insert(SeriesMetadata).values(values)
    session.execute(
        made.on_conflict_do_update(
            index_elements=["tenant_id", "series_id"],
            set_={"image_count": count, "body_gzip": body, "created_at": func.now()},
        )
    )
    return body


def _described(session: Session, tenant_id: int, series_id: int) -> Iterator[tuple[int, bytes | None]]:
    image, described = RadiologyImage, ImageDescription
    is_its = (image.tenant_id == described.tenant_id) & (image.id == described.image_id)
    statement = (
        select(image.id, described.metadata_deflated)
        .outerjoin(described, is_its)
        .where(image.tenant_id == tenant_id, image.series_id == series_id)
        .order_by(image.instance_number, image.id)
    )
    for row in session.execute(statement.execution_options(yield_per=AT_ONCE)):
        yield row[0], row[1]


def _stale(tenant_id: int) -> Any:
    series, made = RadiologySeries, SeriesMetadata
    is_its = (made.tenant_id == series.tenant_id) & (made.series_id == series.id)
    return (
        select(series.id)
        .outerjoin(made, is_its)
        .where(
            series.tenant_id == tenant_id,
            series.image_count > 0,
            or_(made.image_count.is_(None), made.image_count != series.image_count),
        )
    )
