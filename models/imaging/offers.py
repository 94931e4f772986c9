"""Complete files as they are offered to the intake."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.imaging.rules import Declared
from models.imaging.stores.looking import SeenUpload
from models.imaging.tables import ImageUpload

SYNC = "sync"
"""The source of what was declared before it came: all of its UIDs are what its sender said."""
FOUND = "storage"
"""The source of what nobody sends: an image that lies there without its rows."""
UIDS = ("study_uid", "series_uid", "image_uid")
DESCRIBING = ("series_number", "series_description", "study_description", "modality", "instance_number")


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


def said_of(offer: Offer) -> dict[str, Any]:
    """What its sender said of it, to be kept with an upload: it holds when the file is tried again."""
    said = asdict(offer.declared) | {name: getattr(offer, name) for name in DESCRIBING}
    return {name: value for name, value in said.items() if value not in (None, "")}


def offer_of(upload: ImageUpload | SeenUpload, path: Path) -> Offer:
    """A complete upload as it is offered to the intake."""
    said, is_declared = upload.declared, upload.source == SYNC
    uids = {name: getattr(upload, name) if is_declared else said.get(name) for name in UIDS}
    return Offer(
        path=path,
        filename=upload.filename,
        source=upload.source,
        user_id=upload.uploaded_by,
        checksum=upload.checksum,
        size=upload.file_size,
        mime_type=upload.mime_type if is_declared else None,
        declared=Declared(**uids, patient_code=said.get("patient_code"), accession_number=said.get("accession_number")),
        radiology_order_id=upload.radiology_order_id,
        upload_id=upload.id,
        **{name: said[name] for name in DESCRIBING if said.get(name) is not None},
    )
