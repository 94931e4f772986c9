"""Images that are not to be used: noted beside the image, which stays."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.imaging.stores.studies import IMAGE, ImageRow
from models.imaging.tables import RadiologyImage, RadiologySeries, RadiologyStudy
from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Rejection:
    """An image that is not to be used, and why."""

    image_id: int
    image_uid: str
    instance_number: int | None
    series_number: int | None
    filename: str
    note: str


def reject_image(session: Session, tenant_id: int, actor: Actor, row: ImageRow, *, note: str, user_id: int) -> None:
    """Note that an image is not to be used, and why; it stays. ConflictError where there is a note already."""
    image = row.image
    session.refresh(image, with_for_update=True)
    if image.rejected_at is not None:
        raise ConflictError(f"image {image.id} is rejected already")
    image.rejected_at, image.rejected_by, image.rejection_note = utc_now(), user_id or None, note
    session.flush()
    record(session, tenant_id, actor, Action("image.reject", IMAGE, image.id, {"study": row.study.id}))


def rejections_of(session: Session, study: RadiologyStudy) -> Sequence[Rejection]:
    """Of a study that the caller may see: in the order of series and images."""
    image, series = RadiologyImage, RadiologySeries
    wanted = (
        select(
            *(image.id, image.image_uid, image.instance_number, series.series_number),
            *(image.filename, image.rejection_note),
        )
        .join(series, (series.tenant_id == image.tenant_id) & (series.id == image.series_id))
        .where(image.tenant_id == study.tenant_id, series.study_id == study.id, image.rejected_at.is_not(None))
        .order_by(series.series_number.nulls_last(), series.id, image.instance_number.nulls_last(), image.id)
    )
    return [Rejection(*row) for row in session.execute(wanted)]
