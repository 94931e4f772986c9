"""The statements that store an image: prepared, for they are carried out some hundred times a second."""

from typing import NamedTuple

from sqlalchemy import text

from models.kernel.pipeline import Asked, Prepared


class Known(NamedTuple):
    """The study, the series and the image of three UIDs; None where there is none. `image_` is where the image lies."""

    study_id: int | None
    radiology_order_id: int | None
    patient_code: str | None
    series_id: int | None
    series_study_id: int | None
    image_id: int | None
    image_series_id: int | None
    checksum: str | None
    problem: str | None
    image_study_id: int | None


class Changed(NamedTuple):
    """A row that was written."""

    id: int


class Next(NamedTuple):
    """An image that was inserted, and where."""

    id: int
    study_id: int
    series_id: int


LOOK = Asked(
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
    Known,
)
COLUMNS = """image_uid, instance_number, sop_class_uid, transfer_syntax_uid, rows, columns, frames, backend, file_key,
    filename, file_size, mime_type, checksum, wrapped_key, wrapped_size, wrapped_checksum, image_metadata, source,
    uploaded_by"""
VALUES = ", ".join(f"${number}" for number in range(3, 22))
TYPES = (
    "text, bigint, text, text, bigint, bigint, bigint, text, text, text, bigint, text, text, text, bigint, text, "
    "jsonb, text, bigint"
)
INSERT_IMAGE = Asked(
    "imaging_insert",
    f"bigint, bigint, {TYPES}",
    f"""
    INSERT INTO radiology_image (tenant_id, series_id, {COLUMNS}) VALUES ($1, $2, {VALUES})
    ON CONFLICT DO NOTHING RETURNING id
    """,  # noqa: S608 # names and numbers of this file
    Changed,
)
INSERT_NEXT = Asked(
    "imaging_insert_next",
    f"bigint, text, {TYPES}, text, text, bigint, boolean",
    f"""
    WITH known AS (
        SELECT s.id AS study_id, e.id AS series_id FROM radiology_study s
        JOIN radiology_series e ON e.tenant_id = s.tenant_id AND e.study_id = s.id
        WHERE s.tenant_id = $1 AND s.study_uid = $2 AND e.tenant_id = $1 AND e.series_uid = $22
          AND s.patient_code = $23
          AND CASE WHEN s.radiology_order_id IS NULL THEN $25 ELSE $24 IS NULL OR $24 = s.radiology_order_id END
    ), made AS (
        INSERT INTO radiology_image (tenant_id, series_id, {COLUMNS}) SELECT $1, series_id, {VALUES} FROM known
        ON CONFLICT DO NOTHING RETURNING id
    )
    SELECT made.id, known.study_id, known.series_id FROM made, known
    """,  # noqa: S608 # the same
    Next,
)
"""The next image of a series that is there, of a study whose order is settled: nearly every image is one.

No key is named behind ON CONFLICT: of two under one UID at once the second may meet the file key first.
"""
COUNT_SERIES = Prepared(
    "imaging_count_series",
    "bigint, bigint, bigint, bigint",
    """
    UPDATE radiology_series SET image_count = image_count + $3, total_bytes = total_bytes + $4, changed_at = now()
    WHERE tenant_id = $1 AND id = $2
    """,
)
COUNT_STUDY = Prepared(
    "imaging_count_study",
    "bigint, bigint, bigint, bigint, bigint, text",
    """
    UPDATE radiology_study SET image_count = image_count + $3, total_bytes = total_bytes + $4, changed_at = now(),
        series_count = series_count + $5,
        modalities = CASE WHEN $6 = '' OR $6 = ANY(modalities) THEN modalities ELSE array_append(modalities, $6) END
    WHERE tenant_id = $1 AND id = $2
    """,
)
END_UPLOAD = Asked(
    "imaging_end_upload",
    "bigint, bigint, bigint",
    """
    UPDATE image_upload SET state = 'stored', image_id = $3, ended_at = now(), touched_at = now(),
        received_bytes = file_size
    WHERE tenant_id = $1 AND id = $2 AND state IN ('declared', 'held')
    RETURNING id
    """,
    Changed,
)
RESTORE = text("""
UPDATE radiology_image SET problem = NULL, file_key = :key, backend = :backend, checked_at = now(),
    wrapped_key = :wrapped_key, wrapped_size = :wrapped_size, wrapped_checksum = :wrapped_checksum,
    transfer_syntax_uid = :transfer_syntax_uid
WHERE tenant_id = :tenant_id AND id = :id
""")
"""A picture is wrapped anew, with the words that came with it this time: its row says what was written."""
