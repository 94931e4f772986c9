"""An upload for those that only look at it, some hundred times a second: what they see is no row of a session."""

from collections.abc import Sequence
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


FOUND = Asked(
    "imaging_uploads",
    "bigint, bigint[]",
    f"SELECT {', '.join(SeenUpload._fields)} FROM image_upload WHERE tenant_id = $1 AND id = ANY($2)",  # noqa: S608 # names
    SeenUpload,
)


def see_uploads(pipeline: Pipeline, tenant_id: int, upload_ids: Sequence[int]) -> dict[int, SeenUpload]:
    """Those of these ids that the tenant has."""
    return {one.id: one for one in pipeline.ask(FOUND, tenant_id, list(upload_ids))}


def no_upload(upload_id: int) -> NotFoundError:
    """What is said where there is none of this id."""
    return NotFoundError(f"no upload {upload_id}", resource="image_upload", resource_id=upload_id)
