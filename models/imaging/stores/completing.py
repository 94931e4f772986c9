"""Which uploads the files in the spool belong to."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.imaging.tables import ImageUpload


def complete_ones(session: Session, tenant_id: int, sizes: dict[int, int]) -> list[int]:
    """Those of these uploads (bytes here, by number) that are declared and all here, the oldest first."""
    upload = ImageUpload
    wanted = select(upload.id, upload.file_size).where(
        upload.tenant_id == tenant_id, upload.id.in_(sizes), upload.state == "declared"
    )
    return [row.id for row in session.execute(wanted.order_by(upload.id)) if sizes[row.id] >= row.file_size]


def states_of(session: Session, tenant_id: int, upload_ids: Collection[int]) -> dict[int, str]:
    """The state of each that is there."""
    upload = ImageUpload
    wanted = select(upload.id, upload.state).where(upload.tenant_id == tenant_id, upload.id.in_(upload_ids))
    return {row.id: row.state for row in session.execute(wanted)}
