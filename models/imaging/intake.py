"""The one way in for every image, whichever door it came by: read, compared, put where it stays, written down."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from models.imaging.grouping import Item, grouping_of
from models.imaging.ports import (
    DICOM,
    ImageParser,
    Instance,
    KeyTakenError,
    NotAnImageError,
    ObjectStorage,
    Picture,
    Wrapping,
)
from models.imaging.rules import Declared, NotLetInError, refuse_other_than_declared
from models.imaging.stores.pictures import whose
from models.imaging.stores.uploads import hold_new
from models.imaging.stores.writing import Bytes, NewImage, Taken, Writing, write_image
from models.imaging.uids import derived_uid, object_key, safe_name
from models.kernel.audit import Actor
from models.kernel.errors import HeldError
from models.kernel.tenancy import tenant_pipeline, tenant_session

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """A complete file at `path`, which is taken over: durable there already, and removed once it is stored.

    `checksum` and `size` are what its sender said, `digest` is its SHA-256 where it was computed on the way in.
    """

    path: Path
    filename: str
    source: str
    user_id: int | None = None
    checksum: str | None = None
    size: int | None = None
    digest: str | None = None
    mime_type: str | None = None
    declared: Declared = field(default_factory=Declared)
    radiology_order_id: int | None = None
    upload_id: int | None = None
    series_number: int | None = None
    series_description: str = ""
    study_description: str = ""
    modality: str = ""
    instance_number: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an offer."""

    taken: Taken
    study_uid: str
    series_uid: str
    image_uid: str
    sop_class_uid: str
    checksum: str
    mime_type: str


class Intake:
    """Takes images in for one tenant and actor. Thread-safe: every call has a transaction of its own."""

    def __init__(self, tenant_id: int, actor: Actor, storage: ObjectStorage, parser: ImageParser) -> None:
        self._tenant_id, self._actor, self._storage, self._parser = tenant_id, actor, storage, parser

    def take(self, offer: Offer) -> Stored:
        """Store the image, durably, with its rows; the same bytes again are as good as stored now.

        NotLetInError names the rule that keeps it out; the file stays where it is then, for whoever holds it.
        RetryableError: nothing was stored, and the file stays too.
        """
        found = None
        try:
            digest, size = self._compared(offer)
            found = self._read(offer)
            if isinstance(found, Picture):
                return self._take_picture(offer, found, digest, size)
            return self._take_instance(offer, found, digest, size)
        except NotLetInError as error:
            raise NotLetInError(error.rule, found if isinstance(found, Instance) else None) from None

    def hold(self, offer: Offer, error: NotLetInError, keep_as: Callable[[int], None]) -> int:
        """Keep what a rule keeps out, with the rule, for a person: the upload's number.

        `keep_as` makes the file the one of that number, within the transaction.
        """
        digest, size = offer.digest or sha256_of(offer.path), offer.path.stat().st_size
        found, declared = error.found, offer.declared
        unknown = derived_uid(self._tenant_id, "held", digest)
        values = {
            "source": offer.source,
            "study_uid": (found and found.study_uid) or declared.study_uid or unknown,
            "series_uid": (found and found.series_uid) or declared.series_uid or unknown,
            "image_uid": (found and found.image_uid) or declared.image_uid or unknown,
            "filename": offer.filename,
            "file_size": size,
            "mime_type": offer.mime_type or DICOM,
            "checksum": digest,
            "radiology_order_id": offer.radiology_order_id,
            "uploaded_by": offer.user_id,
        }
        with tenant_session(self._tenant_id) as session:
            upload = hold_new(session, self._tenant_id, self._actor, values, error.rule)
            keep_as(upload.id)
        return upload.id

    def _compared(self, offer: Offer) -> tuple[str, int]:
        size = offer.path.stat().st_size
        if offer.size is not None and offer.size != size:
            raise NotLetInError("size")
        digest = offer.digest or sha256_of(offer.path)
        if offer.checksum is not None and offer.checksum != digest:
            raise NotLetInError("checksum")
        return digest, size

    def _take_instance(self, offer: Offer, found: Instance, digest: str, size: int) -> Stored:
        if offer.mime_type not in (None, DICOM):
            raise NotLetInError("mime_type")
        refuse_other_than_declared(found, offer.declared)
        new = self._new(offer, found, DICOM, self._bytes(offer, found, digest, size))
        return self._write(new, {new.original.key: offer.path})

    def _read(self, offer: Offer) -> Instance | Picture:
        try:
            return self._parser.read(offer.path)
        except (NotAnImageError, HeldError) as error:
            raise NotLetInError(error.rule) from None

    def _take_picture(self, offer: Offer, picture: Picture, digest: str, size: int) -> Stored:
        """The picture as it came, and beside it a Secondary Capture of it for the viewer."""
        if offer.mime_type not in (None, picture.mime_type):
            raise NotLetInError("mime_type")
        found = self._instance_of(offer, picture, digest)
        original = self._bytes(offer, found, digest, size)
        wrapped_path = offer.path.with_name(f"tmp-{uuid4().hex}.dcm")
        with _gone_afterwards(wrapped_path):
            try:
                self._parser.wrap(offer.path, wrapped_path, _wrapping(found))
                written = self._parser.read(wrapped_path)
            except (NotAnImageError, HeldError) as error:
                raise NotLetInError(error.rule) from None
            if not isinstance(written, Instance):
                raise NotLetInError("unreadable")
            sync_file(wrapped_path)
            stem = original.key.removesuffix("/" + original.key.rpartition("/")[2])
            name = safe_name(Path(safe_name(offer.filename)).stem + "-wrapped.dcm")
            wrapped = Bytes(f"{stem}/{name}", sha256_of(wrapped_path), wrapped_path.stat().st_size)
            found = replace(found, transfer_syntax_uid=written.transfer_syntax_uid)
            new = self._new(offer, found, picture.mime_type, original, wrapped)
            return self._write(new, {original.key: offer.path, wrapped.key: wrapped_path})

    def _instance_of(self, offer: Offer, picture: Picture, digest: str) -> Instance:
        """What the picture is within its study: the same file in the same study has the same UIDs every time."""
        declared = offer.declared
        with tenant_session(self._tenant_id) as session:
            owner = whose(session, self._tenant_id, declared.study_uid, offer.radiology_order_id)
        study_uid = declared.study_uid or owner.study_uid
        if study_uid is None:
            made_from = offer.radiology_order_id or digest
            study_uid = derived_uid(self._tenant_id, "study", made_from)
        series_uid = declared.series_uid or derived_uid(self._tenant_id, study_uid, "pictures")
        return Instance(
            study_uid=study_uid,
            series_uid=series_uid,
            image_uid=declared.image_uid or derived_uid(self._tenant_id, study_uid, series_uid, digest),
            sop_class_uid=SECONDARY_CAPTURE,
            transfer_syntax_uid="",
            patient_name=owner.patient_name,
            patient_code=owner.patient_code or declared.patient_code or "",
            patient_birth_date=owner.patient_birth_date,
            patient_sex=owner.patient_sex,
            accession_number=owner.accession_number or declared.accession_number or "",
            study_date=owner.study_date,
            study_description=owner.study_description or offer.study_description,
            modality=offer.modality or owner.modality or "OT",
            series_number=offer.series_number,
            series_description=offer.series_description,
            instance_number=offer.instance_number,
            rows=picture.height,
            columns=picture.width,
            tags=picture.exif,
        )

    def _bytes(self, offer: Offer, found: Instance, digest: str, size: int) -> Bytes:
        key = object_key(found.study_uid, found.series_uid, found.image_uid, offer.filename)
        return Bytes(key, digest, size)

    def _new(
        self, offer: Offer, found: Instance, mime_type: str, original: Bytes, wrapped: Bytes | None = None
    ) -> NewImage:
        return NewImage(
            found=found,
            filename=offer.filename,
            mime_type=mime_type,
            source=offer.source,
            user_id=offer.user_id,
            original=original,
            wrapped=wrapped,
            radiology_order_id=offer.radiology_order_id,
            upload_id=offer.upload_id,
        )

    def _write(self, new: NewImage, files: dict[str, Path]) -> Stored:
        def put(each: Bytes) -> str:
            mime_type = new.mime_type if each is new.original else DICOM
            return keep(self._storage, each, files[each.key], mime_type)

        def put_all() -> list[str]:
            return [put(each) for each in (new.original, new.wrapped) if each is not None]

        def alone() -> Taken:
            with tenant_pipeline(self._tenant_id) as pipeline:
                return write_image(Writing(pipeline, self._tenant_id, self._actor, self._storage.name, put), new)

        grouping = grouping_of(self._tenant_id, self._storage.name)
        taken = grouping.write(Item(self._actor, new, put_all, alone))
        for path in files.values():
            path.unlink(missing_ok=True)
        found = new.found
        return Stored(
            taken=taken,
            study_uid=found.study_uid,
            series_uid=found.series_uid,
            image_uid=found.image_uid,
            sop_class_uid=found.sop_class_uid,
            checksum=new.original.checksum,
            mime_type=new.mime_type,
        )


def keep(storage: ObjectStorage, each: Bytes, path: Path, mime_type: str) -> str:
    """Put the object under its key; beside what lies there without a row, where other bytes do. The key it has."""
    try:
        storage.put(each.key, path, sha256=each.checksum, size=each.size, mime_type=mime_type)
        return each.key
    except KeyTakenError:
        folder, _, name = each.key.rpartition("/")
        key = f"{folder}/{safe_name(f'{each.checksum[:16]}-{name}')}"
        storage.put(key, path, sha256=each.checksum, size=each.size, mime_type=mime_type)
        return key


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Make the file's content survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _gone_afterwards(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _wrapping(found: Instance) -> Wrapping:
    return Wrapping(
        study_uid=found.study_uid,
        series_uid=found.series_uid,
        image_uid=found.image_uid,
        patient_name=found.patient_name,
        patient_code=found.patient_code,
        patient_birth_date=found.patient_birth_date,
        patient_sex=found.patient_sex,
        accession_number=found.accession_number,
        study_date=found.study_date,
        study_description=found.study_description,
        modality=found.modality,
        series_number=found.series_number or 1,
        series_description=found.series_description,
        instance_number=found.instance_number or 1,
    )
