"""An upload for those that only look at it, some hundred times a second: what they see is no row of a session."""

from datetime import datetime
from typing import Any, NamedTuple

from models.kernel.errors import NotFoundError
from models.kernel.pipeline import Asked, Pipeline


class SeenUpload(NamedTuple):
    """What an `ImageUpload` says of the file, and of what became of it."""

    id: int
    source: str
    state: str
    study_uid: str
    series_uid: str
    image_uid: str
    filename: str
    file_size: int
    mime_type: str
    checksum: str
    radiology_order_id: int | None
    declared: dict[str, Any]
    received_bytes: int
    rule: str | None
    image_id: int | None
    uploaded_by: int | None
    created_at: datetime
    touched_at: datetime
    note: str | None


ONE = Asked(
    "imaging_upload",
    "bigint, bigint",
    f"SELECT {', '.join(SeenUpload._fields)} FROM image_upload WHERE tenant_id = $1 AND id = $2",  # noqa: S608 # names
    SeenUpload,
)


def see_upload(pipeline: Pipeline, tenant_id: int, upload_id: int) -> SeenUpload:
    """NotFoundError when the tenant has none of this id."""
    rows = pipeline.ask(ONE, tenant_id, upload_id)
    if not rows:
        raise NotFoundError(f"no upload {upload_id}", resource="image_upload", resource_id=upload_id)
    return rows[0]
