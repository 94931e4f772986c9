"""One image into its series, study and order, in the transaction in which its bytes are put where they stay.

Rows first, then the bytes, then the commit: of two files under one UID the second waits here for the first's commit,
and no row is ever seen whose object is not there. What a process killed in between leaves is an object without a row,
which `scrub-storage` takes in as if it had been sent again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.imaging.ports import Instance
from models.imaging.rules import NotLetInError
from models.imaging.stores.assigning import Asking, assign, order_of, refuse_taken
from models.imaging.stores.descriptions import FORGET
from models.imaging.stores.orders import mark_performed
from models.imaging.stores.writing_places import make_series, make_study
from models.imaging.stores.writing_statements import (
    COUNT_SERIES,
    COUNT_STUDY,
    END_UPLOAD,
    INSERT_IMAGE,
    INSERT_NEXT,
    LOOK,
    RESTORE,
    Known,
)
from models.imaging.tables import RadiologyOrder
from models.kernel.audit import Action, Actor, put_many, record
from models.kernel.errors import ConflictError
from models.kernel.pipeline import Pipeline


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

    pipeline: Pipeline
    tenant_id: int
    actor: Actor
    backend: str
    put: Callable[[Bytes], str]

    @property
    def session(self) -> Session:
        """For statements that do not travel with others; nothing waits in the pipeline then."""
        return self.pipeline.session


def write_image(writing: Writing, new: NewImage) -> Taken:
    """Store one image; its objects are put once nothing but a failure of theirs can keep it out.

    NotLetInError names the rule that keeps it out. The same bytes again change nothing, but bring back what was lost.
    """
    taken = _next_of_series(writing, new)
    if taken is not None:
        _finish(writing, new, taken, new_series=0)
        return taken
    session, tenant_id, pipeline, found = writing.session, writing.tenant_id, writing.pipeline, new.found
    known = pipeline.ask(LOOK, tenant_id, found.study_uid, found.series_uid, found.image_uid)[0]
    if known.image_id is not None:
        return _again(writing, new, known)
    order = _order_of(writing, new, known)
    study_id = known.study_id or make_study(session, tenant_id, found, order)
    series_id, new_series = known.series_id, 0
    if series_id is None:
        series_id, new_series = make_series(session, tenant_id, study_id, found)
    elif known.series_study_id != study_id:
        raise NotLetInError("series_elsewhere")
    made = pipeline.ask(INSERT_IMAGE, tenant_id, series_id, *values_of(new, writing.backend))
    if not made:  # stored by another meanwhile
        known = pipeline.ask(LOOK, tenant_id, found.study_uid, found.series_uid, found.image_uid)[0]
        return _again(writing, new, known)
    taken = Taken(made[0].id, study_id, series_id, is_new=True)
    _finish(writing, new, taken, new_series=new_series, order=order)
    return taken


def is_settled(new: NewImage) -> bool:
    """Whether a study without an order stays so with this image: none is named, and none can be found."""
    return new.radiology_order_id is None and not (new.found.accession_number and new.found.patient_code)


def stored_action(new: NewImage, taken: Taken) -> Action:
    """What the audit trail says of a stored image."""
    original = new.original
    changes = {
        "study": taken.study_id,
        "source": new.source,
        "checksum": original.checksum,
        "size": original.size,
    }
    return Action("image.store", "radiology_image", taken.image_id, changes)


def _next_of_series(writing: Writing, new: NewImage) -> Taken | None:
    """Inserted with one statement where study and series are there, and no order is to be looked for."""
    found = new.found
    values = (writing.tenant_id, found.study_uid, *values_of(new, writing.backend))
    asked = (found.series_uid, found.patient_code, new.radiology_order_id, is_settled(new))
    made = writing.pipeline.ask(INSERT_NEXT, *values, *asked)
    return Taken(made[0].id, made[0].study_id, made[0].series_id, is_new=True) if made else None


def _finish(
    writing: Writing, new: NewImage, taken: Taken, *, new_series: int, order: RadiologyOrder | None = None
) -> None:
    """Bytes to their place, counts, the order's study, the upload's end, the audit row. The series before the study.

    The study is its order's before the bytes are put: who gave it to another order meanwhile keeps this image out.
    """
    pipeline, tenant_id, original = writing.pipeline, writing.tenant_id, new.original
    if order is None:
        _put_all(writing, taken.image_id, new)
    pipeline.put(COUNT_SERIES, tenant_id, taken.series_id, 1, original.size)
    if order is not None:
        pipeline.send()
        assign(writing.session, tenant_id, order, taken.study_id)
        _put_all(writing, taken.image_id, new)
    pipeline.put(COUNT_STUDY, tenant_id, taken.study_id, 1, original.size, new_series, new.found.modality)
    put_many(pipeline, tenant_id, [(writing.actor, stored_action(new, taken))])
    end_upload(pipeline, tenant_id, new.upload_id, taken)
    pipeline.send()
    if order is not None:
        mark_performed(writing.session, tenant_id, writing.actor, order, taken.study_id)


def values_of(new: NewImage, backend: str) -> tuple[Any, ...]:
    """Its row's, in the order of COLUMNS."""
    found, wrapped = new.found, new.wrapped
    return (
        *(found.image_uid, found.instance_number, found.sop_class_uid, found.transfer_syntax_uid),
        *(found.rows, found.columns, found.frames, backend),
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


def _again(writing: Writing, new: NewImage, known: Known) -> Taken:
    """What is stored already: the same bytes are as good as stored now, others are refused.

    Whose it is is asked as of a new one: its study goes to the order that is named, or found, if it has none yet.
    """
    if known.image_id is None or known.checksum != new.original.checksum:
        raise NotLetInError("other_bytes")
    lies_there = known.study_id == known.image_study_id and known.series_id == known.image_series_id
    if known.study_id is None or known.series_id is None or not lies_there:
        raise NotLetInError("uids")  # a picture, whose UIDs are its sender's word
    taken = Taken(known.image_id, known.study_id, known.series_id, is_new=False)
    order = _order_of(writing, new, known)
    if order is not None:
        _assign_again(writing, new, taken, order)
    if known.problem is not None:
        _restore(writing, new, taken, known.problem)
    end_upload(writing.pipeline, writing.tenant_id, new.upload_id, taken)
    writing.pipeline.send()
    return taken


def _order_of(writing: Writing, new: NewImage, known: Known) -> RadiologyOrder | None:
    """The order that the image's study is to be given to, locked; NotLetInError where it may not be."""
    session, tenant_id = writing.session, writing.tenant_id
    order = order_of(session, tenant_id, Asking(new.found, new.radiology_order_id), known)
    if order is not None:
        refuse_taken(session, tenant_id, order, new.found.study_uid)
    return order


def _assign_again(writing: Writing, new: NewImage, taken: Taken, order: RadiologyOrder) -> None:
    session, tenant_id = writing.session, writing.tenant_id
    if assign(session, tenant_id, order, taken.study_id):
        changes = {"order": order.id, "patient": order.patient_id, "source": new.source}
        action = Action("radiology_study.assign", "radiology_study", taken.study_id, changes)
        record(session, tenant_id, writing.actor, action)
    mark_performed(session, tenant_id, writing.actor, order, taken.study_id)


def _restore(writing: Writing, new: NewImage, taken: Taken, problem: str) -> None:
    values = {
        "key": writing.put(new.original),
        "wrapped_key": writing.put(new.wrapped) if new.wrapped else None,
        "wrapped_size": new.wrapped.size if new.wrapped else None,
        "wrapped_checksum": new.wrapped.checksum if new.wrapped else None,
        "transfer_syntax_uid": new.found.transfer_syntax_uid,
        "backend": writing.backend,
        "tenant_id": writing.tenant_id,
        "id": taken.image_id,
    }
    for statement in (RESTORE, *FORGET):
        writing.session.execute(statement, values)
    changes = {"problem": [problem, None], "source": new.source}
    action = Action("image.restore", "radiology_image", taken.image_id, changes)
    record(writing.session, writing.tenant_id, writing.actor, action)


def end_upload(pipeline: Pipeline, tenant_id: int, upload_id: int | None, taken: Taken) -> None:
    """The upload is stored; ConflictError where it was given up meanwhile: then nothing of it is to stay."""
    if upload_id is not None and not pipeline.ask(END_UPLOAD, tenant_id, upload_id, taken.image_id):
        raise ConflictError(f"upload {upload_id} has ended")
