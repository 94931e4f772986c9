"""Many files declared with a handful of statements: new ones, those declared before, those that are stored already."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.imaging.ports import DICOM
from models.imaging.tables import ImageUpload, RadiologyImage, RadiologySeries, RadiologyStudy
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError

SAME = ("study_uid", "radiology_order_id", "series_uid", "checksum", "file_size", "mime_type", "filename")
"""What must be as it was when a file is declared again, besides all that is said of it."""
OF_STUDY = {
    **{name: name for name in ("study_uid", "radiology_order_id", "accession_number", "study_description", "modality")},
    "patient_code": "patient_id",
}
"""What is declared of all files at once, and how the sender calls it."""
RULED = ("study_uid", "radiology_order_id", "series_uid", "mime_type")
"""What rules ask: declared otherwise, a file that is held may yet be let in."""
STORED, DECLARED = "the image is stored with another", "declared before with another"


@dataclass(slots=True)
class Declaring:
    """Values of uploads by image UID; `places` says where in the declaration each stands."""

    session: Session
    tenant_id: int
    wanted: Mapping[str, dict[str, Any]]
    places: Mapping[str, str]
    _found: dict[str, ImageUpload] = field(default_factory=dict)

    def rows(self) -> list[ImageUpload]:
        """The upload of each, in the order of the values; ConflictError names the one that differs."""
        self._look_for_stored()
        self._look_for_held()
        while missing := [uid for uid in self.wanted if uid not in self._found]:
            self._insert(missing)
            self._look_for_declared([uid for uid in missing if uid not in self._found])
        return [self._found[uid] for uid in self.wanted]

    def _look_for_stored(self) -> None:
        """Those that are stored as they are declared; one whose study has no order yet is sent again for its order."""
        image, series, study, upload = RadiologyImage, RadiologySeries, RadiologyStudy, ImageUpload
        rows = self.session.execute(
            select(
                *(image.id, image.image_uid, image.checksum, series.series_uid, study.study_uid),
                *(study.patient_code, study.radiology_order_id),
            )
            .join(series, (series.tenant_id == image.tenant_id) & (series.id == image.series_id))
            .join(study, (study.tenant_id == series.tenant_id) & (study.id == series.study_id))
            .where(image.tenant_id == self.tenant_id, image.image_uid.in_(self.wanted))
        )
        stored = {row.image_uid: row.id for row in rows if self._is_as_stored(row)}
        if not stored:
            return
        told = select(upload).where(
            upload.tenant_id == self.tenant_id, upload.image_uid.in_(stored), upload.state == "stored"
        )
        self._found |= {row.image_uid: row for row in self.session.scalars(told)}
        for uid, image_id in stored.items():
            if uid not in self._found:
                self._found[uid] = self._ended(uid, image_id)
        self.session.flush()

    def _is_as_stored(self, row: Row[Any]) -> bool:
        """False where its order is still to be given to its study; ConflictError names what is stored otherwise."""
        wanted = self.wanted[row.image_uid]
        if row.checksum != wanted["checksum"]:
            raise self._conflict(row.image_uid, "checksum", STORED)
        for name in ("study_uid", "series_uid"):
            if getattr(row, name) != wanted[name]:
                raise self._conflict(row.image_uid, name, STORED)
        order_id = wanted["radiology_order_id"]
        if order_id is not None and row.radiology_order_id not in (None, order_id):
            raise self._conflict(row.image_uid, "radiology_order_id", STORED)
        is_asked = wanted["mime_type"] == DICOM or order_id is None  # else the order was asked, by every code
        if is_asked and wanted["declared"].get("patient_code") not in (None, row.patient_code):
            raise self._conflict(row.image_uid, "patient_code", STORED)
        return order_id in (None, row.radiology_order_id)

    def _conflict(self, uid: str, name: str, what: str) -> ConflictError:
        field = OF_STUDY.get(name) or f"{self.places[uid]}.{name}"
        return ConflictError(f"{field}: {what}", field=field)

    def _ended(self, uid: str, image_id: int) -> ImageUpload:
        values = self.wanted[uid]
        ended = {"state": "stored", "image_id": image_id, "received_bytes": values["file_size"]}
        made = ImageUpload(**values, **ended, ended_at=utc_now())
        self.session.add(made)
        return made

    def _look_for_held(self) -> None:
        """Those whose bytes are here, and that a rule keeps out however they are declared now."""
        upload = ImageUpload
        wanted = select(upload).where(
            upload.tenant_id == self.tenant_id, upload.image_uid.in_(self.wanted), upload.state == "held"
        )
        for row in self.session.scalars(wanted):
            if row.checksum == self.wanted[row.image_uid]["checksum"] and not self._may_be_let_in(row):
                self._found.setdefault(row.image_uid, row)

    def _may_be_let_in(self, row: ImageUpload) -> bool:
        now, patient_code = self.wanted[row.image_uid], row.declared.get("patient_code")
        is_other_patient = patient_code not in (None, now["declared"].get("patient_code"))
        return is_other_patient or any(getattr(row, name) != now[name] for name in RULED)

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
            if differing := self._differing(row):
                raise self._conflict(row.image_uid, differing[0], DECLARED)
            self._found[row.image_uid] = row

    def _differing(self, row: ImageUpload) -> list[str]:
        """What was said otherwise before."""
        wanted = self.wanted[row.image_uid]
        said, before = wanted["declared"], row.declared
        names = [name for name in SAME if getattr(row, name) != wanted[name]]
        return names + [name for name in sorted({*said, *before}) if said.get(name) != before.get(name)]
