"""One image into its series, study and order, in the transaction in which its bytes are put where they stay.

Rows first, then the bytes, then the commit: of two files under one UID the second waits here for the first's commit,
and no row is ever seen whose object is not there. What a process killed in between leaves is an object without a row,
which `scrub-storage` takes in as if it had been sent again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.imaging.ports import Instance
from models.imaging.rules import NotLetInError, dicom_date
from models.imaging.stores.assigning import Asking, assign, order_of
from models.imaging.stores.orders import mark_performed
from models.imaging.tables import RadiologyOrder, RadiologySeries, RadiologyStudy
from models.kernel.audit import Action, Actor, record
from models.kernel.pipeline import Pipeline, Prepared
from models.people.tables import Patient

LOOK = Prepared(
    "imaging_look",
    "bigint, text, text, text",
    """
    SELECT s.id AS study_id, s.radiology_order_id, s.patient_code, e.id AS series_id, e.study_id AS series_study_id,
           i.id AS image_id, i.series_id AS image_series_id, i.checksum, i.problem,
           (SELECT x.study_id FROM radiology_series x
            WHERE x.tenant_id = $1 AND x.id = i.series_id) AS image_study_id
    FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (SELECT * FROM radiology_study x
                       WHERE x.tenant_id = $1 AND x.study_uid = $2 OFFSET 0) s ON true
    LEFT JOIN LATERAL (SELECT * FROM radiology_series x
                       WHERE x.tenant_id = $1 AND x.series_uid = $3 OFFSET 0) e ON true
    LEFT JOIN LATERAL (SELECT * FROM radiology_image x
                       WHERE x.tenant_id = $1 AND x.image_uid = $4 OFFSET 0) i ON true
    """,
)
INSERT_IMAGE = Prepared(
    "imaging_insert",
    "bigint, bigint, text, bigint, text, text, bigint, bigint, bigint, text, text, text, bigint, text, text, text, "
    "bigint, text, jsonb, text, bigint",
    """
    INSERT INTO radiology_image (tenant_id, series_id, image_uid, instance_number, sop_class_uid, transfer_syntax_uid,
        rows, columns, frames, backend, file_key, filename, file_size, mime_type, checksum,
        wrapped_key, wrapped_size, wrapped_checksum, image_metadata, source, uploaded_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
    ON CONFLICT (tenant_id, image_uid) DO NOTHING RETURNING id
    """,
)
COUNT_SERIES = Prepared(
    "imaging_count_series",
    "bigint, bigint, bigint",
    """
    UPDATE radiology_series SET image_count = image_count + 1, total_bytes = total_bytes + $3, changed_at = now()
    WHERE tenant_id = $1 AND id = $2
    """,
)
COUNT_STUDY = Prepared(
    "imaging_count_study",
    "bigint, bigint, bigint, bigint, text",
    """
    UPDATE radiology_study SET image_count = image_count + 1, total_bytes = total_bytes + $3, changed_at = now(),
        series_count = series_count + $4,
        modalities = CASE WHEN $5 = '' OR $5 = ANY(modalities) THEN modalities ELSE array_append(modalities, $5) END
    WHERE tenant_id = $1 AND id = $2
    """,
)
STORED = text("""
UPDATE image_upload SET state = 'stored', image_id = :image_id, ended_at = now(), touched_at = now(),
    received_bytes = file_size
WHERE tenant_id = :tenant_id AND id = :id AND state IN ('declared', 'held')
""")

RESTORE = text("""
UPDATE radiology_image SET problem = NULL, file_key = :key, wrapped_key = :wrapped_key, backend = :backend,
    checked_at = now()
WHERE tenant_id = :tenant_id AND id = :id
""")


@dataclass(frozen=True, slots=True)
class Bytes:
    """An object to be kept: its key below the tenant's root, SHA-256 in hex, and size."""

    key: str
    checksum: str
    size: int


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image that passed the rules that need no database."""

    found: Instance
    filename: str
    mime_type: str
    source: str
    user_id: int | None
    original: Bytes
    wrapped: Bytes | None = None
    radiology_order_id: int | None = None
    upload_id: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """An image that is stored, now (`is_new`) or before with the same bytes."""

    image_id: int
    study_id: int
    series_id: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Writing:
    """The running transaction, and where bytes are kept.

    `put` keeps an object and gives its key: another one where other bytes without a row lie under the wanted one.
    """

    session: Session
    tenant_id: int
    actor: Actor
    backend: str
    put: Callable[[Bytes], str]


def write_image(writing: Writing, new: NewImage) -> Taken:
    """Store one image; its objects are put once nothing but a failure of theirs can keep it out.

    NotLetInError names the rule that keeps it out. The same bytes again change nothing, but bring back what was lost.
    """
    session, tenant_id = writing.session, writing.tenant_id
    pipeline, found = Pipeline(session), new.found
    known = pipeline.ask(LOOK, tenant_id, found.study_uid, found.series_uid, found.image_uid)[0]
    if known.image_id is not None:
        return _again(writing, new, known)
    asking = Asking(found, new.radiology_order_id)
    order = order_of(session, tenant_id, asking, known)
    study_id = known.study_id or _new_study(session, tenant_id, found, order)
    series_id, is_new_series = known.series_id, 0
    if series_id is None:
        series_id, is_new_series = _new_series(session, tenant_id, study_id, found)
    elif known.series_study_id != study_id:
        raise NotLetInError("series_elsewhere")
    if order is not None and known.radiology_order_id is None:
        assign(session, tenant_id, order, study_id)
    if not (made := pipeline.ask(INSERT_IMAGE, *_values(tenant_id, series_id, new, writing.backend))):
        known = pipeline.ask(LOOK, tenant_id, found.study_uid, found.series_uid, found.image_uid)[0]
        return _again(writing, new, known)
    image_id = made[0].id
    _put_all(writing, image_id, new)
    pipeline.put(COUNT_SERIES, tenant_id, series_id, new.original.size)
    pipeline.put(COUNT_STUDY, tenant_id, study_id, new.original.size, is_new_series, found.modality)
    pipeline.send()
    if order is not None:
        mark_performed(session, tenant_id, writing.actor, order, study_id)
    taken = Taken(image_id, study_id, series_id, is_new=True)
    _note(writing, new, taken)
    return taken


def _new_study(session: Session, tenant_id: int, found: Instance, order: RadiologyOrder | None) -> int:
    """The study's id, made now or meanwhile by another."""
    patient = session.get(Patient, (tenant_id, order.patient_id)) if order is not None else None
    values = {
        "tenant_id": tenant_id,
        "study_uid": found.study_uid,
        "study_date": dicom_date(found.study_date),
        "study_time": found.study_time,
        "study_description": found.study_description or (order.procedure if order is not None else ""),
        "study_id": found.study_id,
        "modality": found.modality or (order.modality if order is not None else ""),
        "accession_number": found.accession_number or (order.accession_number if order is not None else ""),
        "referring_physician": found.referring_physician,
        "patient_name": found.patient_name or (f"{patient.family_name}^{patient.given_names}" if patient else ""),
        "patient_code": found.patient_code,
        "patient_birth_date": found.patient_birth_date,
        "patient_sex": found.patient_sex,
    }
    study = RadiologyStudy
    made = session.scalar(insert(study).values(values).on_conflict_do_nothing().returning(study.id))
    if made is not None:
        return made
    row = session.execute(
        select(study.id, study.patient_code).where(study.tenant_id == tenant_id, study.study_uid == found.study_uid)
    ).one()
    if row.patient_code != found.patient_code:
        raise NotLetInError("study_of_another")
    return int(row.id)


def _new_series(session: Session, tenant_id: int, study_id: int, found: Instance) -> tuple[int, int]:
    """The series' id, and 1 when it was made now."""
    series = RadiologySeries
    values = {
        "tenant_id": tenant_id,
        "study_id": study_id,
        "series_uid": found.series_uid,
        "series_number": found.series_number,
        "series_description": found.series_description,
        "modality": found.modality,
        "body_part": found.body_part,
    }
    made = session.scalar(insert(series).values(values).on_conflict_do_nothing().returning(series.id))
    if made is not None:
        return made, 1
    row = session.execute(
        select(series.id, series.study_id).where(series.tenant_id == tenant_id, series.series_uid == found.series_uid)
    ).one()
    if row.study_id != study_id:
        raise NotLetInError("series_elsewhere")
    return int(row.id), 0


def _values(tenant_id: int, series_id: int, new: NewImage, backend: str) -> tuple[Any, ...]:
    found, wrapped = new.found, new.wrapped
    return (
        *(tenant_id, series_id, found.image_uid, found.instance_number, found.sop_class_uid),
        *(found.transfer_syntax_uid, found.rows, found.columns, found.frames, backend),
        *(new.original.key, new.filename, new.original.size, new.mime_type, new.original.checksum),
        *((wrapped.key, wrapped.size, wrapped.checksum) if wrapped else (None, None, None)),
        *(json.dumps(dict(found.tags)), new.source, new.user_id),
    )


def _put_all(writing: Writing, image_id: int, new: NewImage) -> None:
    for column, each in (("file_key", new.original), ("wrapped_key", new.wrapped)):
        if each is not None and (key := writing.put(each)) != each.key:
            writing.session.execute(
                text(f"UPDATE radiology_image SET {column} = :key WHERE tenant_id = :tenant_id AND id = :id"),  # noqa: S608 # one of two
                {"key": key, "tenant_id": writing.tenant_id, "id": image_id},
            )


def _again(writing: Writing, new: NewImage, known: Row[Any]) -> Taken:
    """What is stored already: the same bytes are as good as stored now, others are refused."""
    if known.checksum != new.original.checksum:
        raise NotLetInError("other_bytes")
    taken = Taken(known.image_id, known.image_study_id, known.image_series_id, is_new=False)
    if known.problem is not None:
        values = {
            "key": writing.put(new.original),
            "wrapped_key": writing.put(new.wrapped) if new.wrapped else None,
            "backend": writing.backend,
            "tenant_id": writing.tenant_id,
            "id": known.image_id,
        }
        writing.session.execute(RESTORE, values)
        changes = {"problem": [known.problem, None], "source": new.source}
        action = Action("image.restore", "radiology_image", known.image_id, changes)
        record(writing.session, writing.tenant_id, writing.actor, action)
    _end_upload(writing, new, taken)
    return taken


def _note(writing: Writing, new: NewImage, taken: Taken) -> None:
    _end_upload(writing, new, taken)
    original = new.original
    changes = {
        "study": taken.study_id,
        "source": new.source,
        "checksum": original.checksum,
        "size": original.size,
    }
    action = Action("image.store", "radiology_image", taken.image_id, changes)
    record(writing.session, writing.tenant_id, writing.actor, action)


def _end_upload(writing: Writing, new: NewImage, taken: Taken) -> None:
    if new.upload_id is not None:
        values = {"image_id": taken.image_id, "tenant_id": writing.tenant_id, "id": new.upload_id}
        writing.session.execute(STORED, values)
