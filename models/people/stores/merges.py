"""Two records of one patient become one: the merged record stays and points to the one that remains."""

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record_many
from models.people.rules import refuse_merge, refuse_stale
from models.people.schemas import MergeIn
from models.people.stores.patients import get_patient
from models.people.tables import Patient

MOVED_TABLES = (
    *("patient_identifier", "assignment", "device_patient", "vital_sign", "alert", "alert_threshold"),
    "radiology_order",
)
"""Every table that refers to a patient by `patient_id`; a test compares it with the foreign keys of the database."""
MAKE_ROOM = (
    """
    UPDATE alert k SET level = 'critical', version = k.version + 1
    FROM alert m WHERE k.tenant_id = :tenant_id AND k.patient_id = :kept AND k.closed_at IS NULL
      AND m.tenant_id = k.tenant_id AND m.patient_id = :merged AND m.kind = k.kind AND m.closed_at IS NULL
      AND m.level = 'critical' AND k.level <> 'critical'
    """,
    """
    UPDATE alert m SET closed_at = now(), ending = 'merged', next_step_at = NULL, version = m.version + 1
    FROM alert k WHERE k.tenant_id = :tenant_id AND k.patient_id = :kept AND k.closed_at IS NULL
      AND m.tenant_id = k.tenant_id AND m.patient_id = :merged AND m.kind = k.kind AND m.closed_at IS NULL
    """,
    """
    DELETE FROM alert_threshold m USING alert_threshold k
    WHERE k.tenant_id = :tenant_id AND k.patient_id = :kept
      AND m.tenant_id = k.tenant_id AND m.patient_id = :merged AND m.kind = k.kind
    """,
)
"""A patient has one open alert of a kind, and limits of a kind once: those of the record that remains stay, and its
alert is as bad as the worse of the two."""


def merge_patients(
    session: Session, tenant_id: int, actor: Actor, kept_id: int, given: MergeIn
) -> tuple[Patient, dict[str, int]]:
    """Move everything of `merged_id` to `kept_id`; the record that remains, and how many rows moved from each table.

    Both rows are locked in the order of their ids, so that two merges of the same two end in one, not in a loop.
    """
    locked = {one: get_patient(session, tenant_id, one, lock=True) for one in sorted({kept_id, given.merged_id})}
    kept, merged = locked[kept_id], locked[given.merged_id]
    refuse_merge(kept=(kept.id, kept.merged_into_id), merged=(merged.id, merged.merged_into_id))
    refuse_stale(seen=given.version, present=kept.version, what=f"patient {kept.id}")
    refuse_stale(seen=given.merged_version, present=merged.version, what=f"patient {merged.id}")
    for statement in MAKE_ROOM:
        session.execute(text(statement), {"tenant_id": tenant_id, "kept": kept.id, "merged": merged.id})
    moved = {table: _move(session, tenant_id, table, kept_id=kept.id, merged_id=merged.id) for table in MOVED_TABLES}
    # Records merged into this one before now point straight to the one that remains: a chain has one link.
    session.execute(
        update(Patient)
        .where(Patient.tenant_id == tenant_id, Patient.merged_into_id == merged.id)
        .values(merged_into_id=kept.id)
    )
    merged.merged_into_id = kept.id
    merged.version += 1
    kept.version += 1
    session.flush()
    told = {"kept": kept.id, "merged": merged.id, "codes": [kept.code, merged.code], "moved": moved}
    record_many(
        session,
        tenant_id,
        actor,
        [Action("patient.merge", "patient", kept.id, told), Action("patient.merged", "patient", merged.id, told)],
    )
    return kept, moved


def _move(session: Session, tenant_id: int, table: str, *, kept_id: int, merged_id: int) -> int:
    if table not in MOVED_TABLES:
        raise ValueError(f"{table} is not among the tables that follow a patient")
    statement = text(
        f"UPDATE {table} SET patient_id = :kept WHERE tenant_id = :tenant_id AND patient_id = :merged RETURNING id"  # noqa: S608 - one of MOVED_TABLES
    )
    rows = session.execute(statement, {"tenant_id": tenant_id, "kept": kept_id, "merged": merged_id})
    return len(rows.all())
