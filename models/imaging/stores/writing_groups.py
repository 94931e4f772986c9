"""The next images of their series, several at once: one statement for their rows, a few for what they change."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.imaging.stores.writing import NewImage, Taken, end_upload, is_settled, stored_action, values_of
from models.imaging.stores.writing_statements import COLUMNS, COUNT_SERIES, COUNT_STUDY, TYPES
from models.kernel.audit import Actor, put_many
from models.kernel.pipeline import Asked, Pipeline, Prepared, as_json

NAMES = [name.strip() for name in COLUMNS.split(",")]
FIELDS = ", ".join(f"{name} {kind.strip()}" for name, kind in zip(NAMES, TYPES.split(","), strict=True))


class _Made(NamedTuple):
    id: int
    image_uid: str
    study_id: int
    series_id: int


INSERT_GROUP = Asked(
    "imaging_insert_group",
    "bigint, json",
    f"""
    WITH known AS (
        SELECT g.*, s.id AS study_id, e.id AS series_id
        FROM json_to_recordset($2) AS g (study_uid text, series_uid text, patient_code text, order_id bigint,
                                         is_settled boolean, {FIELDS})
        JOIN LATERAL (SELECT * FROM radiology_study x
                      WHERE x.tenant_id = $1 AND x.study_uid = g.study_uid OFFSET 0) s ON true
        JOIN LATERAL (SELECT * FROM radiology_series x
                      WHERE x.tenant_id = $1 AND x.series_uid = g.series_uid OFFSET 0) e ON e.study_id = s.id
        WHERE s.patient_code = g.patient_code
          AND CASE WHEN s.radiology_order_id IS NULL THEN g.is_settled
                   ELSE g.order_id IS NULL OR g.order_id = s.radiology_order_id END
    ), made AS (
        INSERT INTO radiology_image (tenant_id, series_id, {COLUMNS}) SELECT $1, series_id, {COLUMNS} FROM known
        ORDER BY image_uid ON CONFLICT DO NOTHING RETURNING id, image_uid
    )
    SELECT made.id, made.image_uid, known.study_id, known.series_id FROM made JOIN known USING (image_uid)
    """,  # noqa: S608 # names of this file's
    _Made,
)
MOVE = Prepared(
    "imaging_move_keys",
    "bigint, bigint, text, text",
    "UPDATE radiology_image SET file_key = $3, wrapped_key = $4 WHERE tenant_id = $1 AND id = $2",
)


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a group whose row is there and whose objects lie under `keys`."""

    actor: Actor
    new: NewImage
    taken: Taken
    keys: Sequence[str]


def insert_group(pipeline: Pipeline, tenant_id: int, backend: str, images: Sequence[NewImage]) -> Mapping[str, Taken]:
    """Insert those whose study, series, patient and order are as expected; by image UID."""
    rows = pipeline.ask(INSERT_GROUP, tenant_id, as_json([_row(new, backend) for new in images]))
    return {row.image_uid: Taken(row.id, row.study_id, row.series_id, is_new=True) for row in rows}


def finish_group(pipeline: Pipeline, tenant_id: int, members: Sequence[Member]) -> None:
    """Counts, ends of uploads, audit rows. Series before studies, each in the order of ids, as everybody locks them."""
    series, studies = Counter[int](), Counter[tuple[int, str]]()
    series_bytes, study_bytes = Counter[int](), Counter[tuple[int, str]]()
    for member in members:
        key = member.taken.study_id, member.new.found.modality
        series[member.taken.series_id] += 1
        series_bytes[member.taken.series_id] += member.new.original.size
        studies[key] += 1
        study_bytes[key] += member.new.original.size
        _note_keys(pipeline, tenant_id, member)
    put_many(pipeline, tenant_id, [(one.actor, stored_action(one.new, one.taken)) for one in members])
    for series_id, number in sorted(series.items()):
        pipeline.put(COUNT_SERIES, tenant_id, series_id, number, series_bytes[series_id])
    for (study_id, modality), number in sorted(studies.items()):
        size = study_bytes[study_id, modality]
        pipeline.put(COUNT_STUDY, tenant_id, study_id, number, size, 0, modality)
    for member in members:
        end_upload(pipeline, tenant_id, member.new.upload_id, member.taken)


def _note_keys(pipeline: Pipeline, tenant_id: int, member: Member) -> None:
    wanted = [one.key for one in (member.new.original, member.new.wrapped) if one is not None]
    if list(member.keys) != wanted:
        file_key, wrapped_key = (*member.keys, None)[:2]
        pipeline.put(MOVE, tenant_id, member.taken.image_id, file_key, wrapped_key)


def _row(new: NewImage, backend: str) -> dict[str, Any]:
    found = new.found
    return {
        "study_uid": found.study_uid,
        "series_uid": found.series_uid,
        "patient_code": found.patient_code,
        "order_id": new.radiology_order_id,
        "is_settled": is_settled(new),
        **dict(zip(NAMES, values_of(new, backend), strict=True)),
        "image_metadata": dict(found.tags),
    }
