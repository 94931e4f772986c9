"""Many files declared with a handful of statements: new ones, those declared before, those that are stored already."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.imaging.tables import ImageUpload, RadiologyImage
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError

SAME = ("study_uid", "series_uid", "filename", "file_size", "mime_type", "checksum", "radiology_order_id")
"""What must be as it was when a file is declared again."""


@dataclass(slots=True)
class Declaring:
    """Values of uploads by image UID; `fields` says how the sender calls each."""

    session: Session
    tenant_id: int
    wanted: Mapping[str, dict[str, Any]]
    fields: Mapping[str, str]
    _found: dict[str, ImageUpload] = field(default_factory=dict)

    def rows(self) -> list[ImageUpload]:
        """The upload of each, in the order of the values; ConflictError names the one that differs."""
        self._look_for_stored()
        while missing := [uid for uid in self.wanted if uid not in self._found]:
            self._insert(missing)
            self._look_for_declared([uid for uid in missing if uid not in self._found])
        return [self._found[uid] for uid in self.wanted]

    def _look_for_stored(self) -> None:
        image, upload = RadiologyImage, ImageUpload
        stored = {
            row.image_uid: row
            for row in self.session.execute(
                select(image.id, image.image_uid, image.checksum).where(
                    image.tenant_id == self.tenant_id, image.image_uid.in_(self.wanted)
                )
            )
        }
        for uid, row in stored.items():
            if row.checksum != self.wanted[uid]["checksum"]:
                raise ConflictError("another file is stored under this image UID", field=self.fields[uid])
        if not stored:
            return
        told = select(upload).where(
            upload.tenant_id == self.tenant_id, upload.image_uid.in_(stored), upload.state == "stored"
        )
        self._found |= {row.image_uid: row for row in self.session.scalars(told)}
        for uid, row in stored.items():
            if uid not in self._found:
                self._found[uid] = self._ended(uid, row.id)
        self.session.flush()

    def _ended(self, uid: str, image_id: int) -> ImageUpload:
        values = self.wanted[uid]
        ended = {"state": "stored", "image_id": image_id, "received_bytes": values["file_size"]}
        made = ImageUpload(**values, **ended, ended_at=utc_now())
        self.session.add(made)
        return made

    def _insert(self, uids: list[str]) -> None:
        statement = insert(ImageUpload).on_conflict_do_nothing().returning(ImageUpload)
        for row in self.session.scalars(statement, [self.wanted[uid] for uid in uids]):
            self._found[row.image_uid] = row

    def _look_for_declared(self, uids: list[str]) -> None:
        """Those declared before; one that ended between the two statements is inserted after all."""
        if not uids:
            return
        upload = ImageUpload
        wanted = select(upload).where(
            upload.tenant_id == self.tenant_id, upload.image_uid.in_(uids), upload.state == "declared"
        )
        for row in self.session.scalars(wanted):
            if any(getattr(row, name) != self.wanted[row.image_uid][name] for name in SAME):
                raise ConflictError("declared before with another content", field=self.fields[row.image_uid])
            self._found[row.image_uid] = row
