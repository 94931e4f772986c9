"""Uploads: declared first, complete later; held with the rule that keeps them out; listed, told of, given up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.imaging.rules import Declared, why
from models.imaging.schemas import DeclarationIn, DeclaredImage
from models.imaging.stores.declaring import Declaring
from models.imaging.stores.looking import SeenUpload
from models.imaging.stores.orders import get_order
from models.imaging.stores.pictures import study_of_pictures, whose
from models.imaging.tables import ImageUpload
from models.imaging.uids import derived_uid
from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.kernel.settings import settings
from models.people.stores.patients import codes_of

OPEN = ("declared", "held")
HELD_KEY = "image_upload_held_key"


@dataclass(frozen=True, slots=True)
class UploadFilter:
    """Which uploads; empty: those that are open."""

    state: str = ""
    study_uid: str = ""
    radiology_order_id: int | None = None


def declare(session: Session, tenant_id: int, actor: Actor, given: DeclarationIn, *, user_id: int) -> list[ImageUpload]:
    """One upload per file, in their order. The same declared again is the same upload; what is stored or held is told.

    ConflictError where an image UID was declared or stored with another content; InvalidError for another patient's
    order, a file that is declared twice, or one larger than is accepted.
    """
    _refuse_too_large(given.images)
    order_id = _named_order(session, tenant_id, given)
    study_uid = given.study_uid or _study_of_pictures(session, tenant_id, given)
    wanted: dict[str, dict[str, Any]] = {}
    places: dict[str, str] = {}
    for index, image in enumerate(given.images):
        values = _values(tenant_id, study_uid, given, image)
        uid = values["image_uid"]
        if uid in wanted:
            raise InvalidError("declared twice", field=f"images.{index}.image_uid")
        wanted[uid] = values | {"radiology_order_id": order_id, "uploaded_by": user_id or None}
        places[uid] = f"images.{index}"
    rows = Declaring(session, tenant_id, wanted, places).rows()
    changes = {"uploads": [row.id for row in rows], "order": order_id}
    record(session, tenant_id, actor, Action("image_upload.declare", "image_upload", rows[0].id, changes))
    return rows


def get_upload(session: Session, tenant_id: int, upload_id: int, *, lock: bool = False) -> ImageUpload:
    """NotFoundError when the tenant has none of this id."""
    wanted = select(ImageUpload).where(ImageUpload.tenant_id == tenant_id, ImageUpload.id == upload_id)
    upload = session.scalar(wanted.with_for_update() if lock else wanted)
    if upload is None:
        raise NotFoundError(f"no upload {upload_id}", resource="image_upload", resource_id=upload_id)
    return upload


def open_uploads(session: Session, tenant_id: int, order_id: int, study_uid: str | None) -> Mapping[str, int]:
    """How many files of an order, or of its study, are on their way (`declared`) and `held`."""
    upload = ImageUpload
    is_theirs = or_(upload.radiology_order_id == order_id, upload.study_uid == study_uid)
    wanted = (
        select(upload.state, func.count())
        .where(upload.tenant_id == tenant_id, upload.state.in_(OPEN), is_theirs)
        .group_by(upload.state)
    )
    return dict.fromkeys(OPEN, 0) | dict(session.execute(wanted).tuples().all())


def list_uploads(
    session: Session, tenant_id: int, wanted: UploadFilter, *, page: int = 1, size: int = 50
) -> tuple[Sequence[ImageUpload], int]:
    """A page, the newest first; and how many there are."""
    states = (wanted.state,) if wanted.state else OPEN
    conditions = [ImageUpload.tenant_id == tenant_id, ImageUpload.state.in_(states)]
    if wanted.study_uid:
        conditions.append(ImageUpload.study_uid == wanted.study_uid)
    if wanted.radiology_order_id is not None:
        conditions.append(ImageUpload.radiology_order_id == wanted.radiology_order_id)
    total = session.scalar(select(func.count()).select_from(ImageUpload).where(*conditions)) or 0
    rows = select(ImageUpload).where(*conditions).order_by(ImageUpload.id.desc())
    return session.scalars(rows.limit(size).offset((page - 1) * size)).all(), total


def count_open(session: Session, tenant_id: int) -> dict[str, int]:
    """How many are not complete, and how many are held."""
    upload = ImageUpload
    counted = select(upload.state, func.count()).where(upload.tenant_id == tenant_id, upload.state.in_(OPEN))
    found = dict(session.execute(counted.group_by(upload.state)).tuples().all())
    return {state: found.get(state, 0) for state in OPEN}


def note_progress(session: Session, tenant_id: int, upload_id: int, received: int) -> None:
    """So many bytes are here now."""
    session.execute(
        update(ImageUpload)
        .where(ImageUpload.tenant_id == tenant_id, ImageUpload.id == upload_id, ImageUpload.state == "declared")
        .values(received_bytes=received, touched_at=func.now(), reminded_at=None)
        .execution_options(synchronize_session=False)
    )


def hold(session: Session, tenant_id: int, actor: Actor, upload_id: int, rule: str) -> ImageUpload:
    """The file is here, and a rule keeps it out: a person decides. The same bytes held before are discarded for it."""
    upload = get_upload(session, tenant_id, upload_id, lock=True)
    if upload.state in OPEN:
        while not _is_held(session, tenant_id, actor, upload, rule):
            pass  # another door held the same bytes since they were looked for
        changes = {"rule": rule, "source": upload.source}
        record(session, tenant_id, actor, Action("image_upload.hold", "image_upload", upload_id, changes))
    return upload


def _is_held(session: Session, tenant_id: int, actor: Actor, upload: ImageUpload, rule: str) -> bool:
    same = _held(tenant_id, upload.image_uid, upload.checksum).where(ImageUpload.id != upload.id)
    if (double := session.scalar(same.with_for_update())) is not None:
        give_up(session, tenant_id, actor, double.id, Ending("discarded", f"held again as upload {upload.id}"))
    try:
        with session.begin_nested():
            upload.state, upload.rule, upload.received_bytes = "held", rule, upload.file_size
            upload.touched_at = utc_now()
    except IntegrityError as error:
        if HELD_KEY not in str(error.orig):
            raise
        return False
    return True


def hold_new(session: Session, tenant_id: int, actor: Actor, values: Mapping[str, Any], rule: str) -> ImageUpload:
    """The same of a file nobody declared. Once for the same bytes: sent again, it is the upload that is held."""
    row = {"tenant_id": tenant_id, "state": "held", "rule": rule, "received_bytes": values["file_size"], **values}
    made = insert(ImageUpload).values(row).on_conflict_do_nothing().returning(ImageUpload)
    while (upload := session.scalar(made)) is None:
        there = session.scalar(_held(tenant_id, values["image_uid"], values["checksum"]))
        if there is not None:
            return there
    changes = {"rule": rule, "source": upload.source}
    record(session, tenant_id, actor, Action("image_upload.hold", "image_upload", upload.id, changes))
    return upload


def _held(tenant_id: int, image_uid: str, checksum: str) -> Select[tuple[ImageUpload]]:
    upload = ImageUpload
    is_same = (upload.image_uid == image_uid, upload.checksum == checksum)
    return select(upload).where(upload.tenant_id == tenant_id, upload.state == "held", *is_same)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an upload ends without being stored: `discarded` by a person, `expired` by time."""

    state: str
    note: str
    user_id: int | None = None


def give_up(session: Session, tenant_id: int, actor: Actor, upload_id: int, ending: Ending) -> ImageUpload:
    """End an open upload; ConflictError where it has ended."""
    upload = get_upload(session, tenant_id, upload_id, lock=True)
    refuse_ended(upload)
    before, upload.state, upload.ended_at = upload.state, ending.state, utc_now()
    upload.settled_by, upload.note = ending.user_id, ending.note
    session.flush()
    changes = {"state": [before, ending.state], "rule": upload.rule, "received": upload.received_bytes}
    action = Action(f"image_upload.{ending.state}", "image_upload", upload_id, changes)
    record(session, tenant_id, actor, action)
    return upload


def refuse_ended(upload: ImageUpload) -> None:
    """ConflictError where it has ended."""
    if upload.state not in OPEN:
        raise ConflictError(f"upload {upload.id} has ended")


def waiting_since(
    session: Session, tenant_id: int, before: datetime, *, told_before: datetime, most: int = 1000
) -> Sequence[ImageUpload]:
    """Declared uploads without a byte since `before`, of which a mail went before `told_before`; the oldest first."""
    wanted = select(ImageUpload).where(
        ImageUpload.tenant_id == tenant_id,
        ImageUpload.state == "declared",
        ImageUpload.touched_at < before,
        ImageUpload.reminded_at < told_before,
    )
    return session.scalars(wanted.order_by(ImageUpload.touched_at, ImageUpload.id).limit(most)).all()


def reason_of(upload: ImageUpload | SeenUpload) -> str | None:
    """Why it is held, in words."""
    return why(upload.rule) if upload.rule else None


def _refuse_too_large(images: Sequence[DeclaredImage]) -> None:
    """Before anything is looked up or sent: at its end a file that is too large would have come in vain."""
    most = settings().radiology_largest_mb * 2**20
    for index, image in enumerate(images):
        if image.file_size > most:
            message = "is larger than is accepted (LABWIRE_RADIOLOGY_LARGEST_MB)"
            raise InvalidError(message, field=f"images.{index}.file_size")


def _named_order(session: Session, tenant_id: int, given: DeclarationIn) -> int | None:
    """The order that is named; where none is, it is looked for when a file is complete."""
    if given.radiology_order_id is None:
        return None
    order = get_order(session, tenant_id, given.radiology_order_id)
    if given.patient_id is not None and given.patient_id not in codes_of(session, tenant_id, order.patient_id):
        raise InvalidError("is not the patient of the order", field="patient_id")
    return order.id


def _study_of_pictures(session: Session, tenant_id: int, given: DeclarationIn) -> str:
    said = Declared(patient_code=given.patient_id, accession_number=given.accession_number)
    known = whose(session, tenant_id, said, given.radiology_order_id).study_uid
    return known or study_of_pictures(tenant_id, said, given.radiology_order_id)


def _values(tenant_id: int, study_uid: str, given: DeclarationIn, image: DeclaredImage) -> dict[str, Any]:
    series_uid = image.series_uid or derived_uid(tenant_id, study_uid, "pictures")
    declared = {
        "patient_code": given.patient_id,
        "accession_number": given.accession_number,
        "study_description": given.study_description,
        "modality": given.modality,
        "series_number": image.series_number,
        "series_description": image.series_description,
        "instance_number": image.instance_number,
    }
    return {
        "tenant_id": tenant_id,
        "source": "sync",
        "study_uid": study_uid,
        "series_uid": series_uid,
        "image_uid": image.image_uid or derived_uid(tenant_id, study_uid, series_uid, image.checksum),
        "filename": image.filename,
        "file_size": image.file_size,
        "mime_type": image.mime_type,
        "checksum": image.checksum,
        "declared": {name: value for name, value in declared.items() if value not in (None, "")},
    }
