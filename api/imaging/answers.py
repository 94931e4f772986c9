"""What the JSON API answers about uploads."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from models.imaging.stores.looking import SeenUpload
from models.imaging.stores.uploads import reason_of
from models.imaging.tables import ImageUpload


class UploadAnswer(BaseModel):
    """One file on its way, or what became of it."""

    id: int
    state: str = Field(description="declared, held, stored, expired or discarded")
    study_uid: str
    series_uid: str
    image_uid: str
    radiology_order_id: int | None
    filename: str
    file_size: int = Field(description="Bytes")
    received_bytes: int = Field(description="Bytes that are here: the next part begins there")
    mime_type: str
    checksum: str
    rule: str | None = Field(description="The rule that holds it")
    reason: str | None
    image_id: int | None = Field(description="The stored image")
    source: str
    created_at: datetime
    touched_at: datetime
    note: str | None

    @classmethod
    def of(cls, row: ImageUpload | SeenUpload) -> Self:
        """From its row."""
        fields = {name: getattr(row, name) for name in cls.model_fields if name != "reason"}
        return cls(**fields, reason=reason_of(row))


class DeclaredAnswer(BaseModel):
    """The uploads in the order of the declared images."""

    uploads: list[UploadAnswer]


class BinaryAnswer(BaseModel):
    """What became of one binary of several."""

    id: int = Field(description="The upload's")
    status: int = Field(description="What a request of its own would have been answered with")
    upload: UploadAnswer | None = Field(default=None, description="With status 200")
    error: str | None = Field(default=None, description="With any other status")
    field: str | None = Field(default=None, description="Which the error is about")


class BinariesAnswer(BaseModel):
    """Every binary of a request, in order."""

    uploads: list[BinaryAnswer]


class UploadPage(BaseModel):
    """A page of uploads."""

    items: list[UploadAnswer]
    total: int
    page: int
    size: int


class FileAnswer(BaseModel):
    """What became of one file of a form."""

    filename: str
    success: bool
    image_id: int | None = None
    image_uid: str | None = None
    study_uid: str | None = None
    is_new: bool | None = Field(default=None, description="false: the same bytes were stored before")
    rule: str | None = None
    is_held: bool = Field(default=False, description="Not stored, and kept: a person decides")
    error: str | None = None


class FilesAnswer(BaseModel):
    """Every file of a form, in order."""

    stored: int
    failed: int
    files: list[FileAnswer]
