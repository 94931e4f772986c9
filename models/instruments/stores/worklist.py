"""The work list: assignments under filters, stat on top, with what a technician needs to see of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments.inputs import WorklistFilter
from models.instruments.rules import EXPIRY_WARNING_HOURS, OPEN, STALE_HOURS, WORDS, Status
from models.instruments.stores.moves import unknown_assignment
from models.kernel.errors import InvalidError

MOST_ROWS = 500


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """One assignment as a list shows it. `attempts` counts sends of the present submission."""

    id: int
    version: int
    status: str
    priority: str
    sample_id: str
    request_id: str
    run_number: int
    patient_id: int
    patient_code: str
    family_name: str
    given_names: str
    test_id: int
    test_code: str
    test_name: str
    panel_code: str | None
    department_id: int | None
    department: str | None
    equipment_id: int | None
    equipment: str | None
    equipment_status: str | None
    has_endpoint: bool
    supports_auto_fetch: bool
    queue_id: str | None
    created_at: datetime
    ordered_at: datetime
    queued_at: datetime | None
    analyzed_at: datetime | None
    remarks: str
    is_stale: bool
    is_expiring: bool
    is_acknowledged: bool
    raw_value: str | None
    unit: str | None
    flag: str | None
    result_version: int | None


MIDNIGHT = "({}::timestamp AT TIME ZONE (SELECT z.time_zone FROM tenant z WHERE z.id = :tenant_id))"
# Each part of the condition is there only when its filter is: the planner then sees which index serves.
CONDITIONS = {
    "status": "a.status = ANY(:status)",
    "department_id": "a.department_id = :department_id",
    "equipment_id": "a.equipment_id = :equipment_id",
    "patient_id": "a.patient_id = :patient_id",
    "priority": "a.priority = :priority",
    "test_code": "t.code = :test_code",
    "sample_id": "a.sample_id = :sample_id",
    "search": (
        "(starts_with(lower(a.sample_id), lower(:search)) OR starts_with(lower(a.request_id), lower(:search)) "
        "OR starts_with(lower(p.code), lower(:search)))"
    ),
    "created_from": f"a.created_at >= {MIDNIGHT.format('CAST(:created_from AS date)')}",
    "created_to": f"a.created_at < {MIDNIGHT.format('(CAST(:created_to AS date) + 1)')}",
}
STALE = "(a.status = ANY(:open_states) AND a.ordered_at < now() - make_interval(hours => :stale_hours))"
EXPIRING = (
    "(a.status IN ('Q', 'I') AND NOT COALESCE(e.supports_auto_fetch, false) "
    "AND a.queued_at < now() - make_interval(hours => :warning_hours))"
)
TABLES = """
FROM assignment a
JOIN patient p ON p.tenant_id = a.tenant_id AND p.id = a.patient_id
JOIN test_definition t ON t.tenant_id = a.tenant_id AND t.id = a.test_id
LEFT JOIN panel n ON n.tenant_id = a.tenant_id AND n.id = a.panel_id
LEFT JOIN department d ON d.tenant_id = a.tenant_id AND d.id = a.department_id
LEFT JOIN equipment e ON e.tenant_id = a.tenant_id AND e.id = a.equipment_id
"""
ROWS = (
    "SELECT a.id, a.version, a.status, a.priority, a.sample_id, a.request_id, a.run_number, a.patient_id, "
    "p.code AS patient_code, p.family_name, p.given_names, t.id AS test_id, t.code AS test_code, t.name AS test_name, "
    "n.code AS panel_code, a.department_id, d.name AS department, a.equipment_id, e.name AS equipment, "
    "e.status AS equipment_status, e.api_endpoint IS NOT NULL AS has_endpoint, "
    "COALESCE(e.supports_auto_fetch, false) AS supports_auto_fetch, a.queue_id, a.created_at, a.ordered_at, "
    "a.queued_at, a.analyzed_at, a.remarks, "
    f"{STALE} AS is_stale, {EXPIRING} AS is_expiring, a.stale_acknowledged_at IS NOT NULL AS is_acknowledged, "
    "r.raw_value, r.unit, r.flag, r.version AS result_version "
    f"{TABLES} LEFT JOIN result r ON r.tenant_id = a.tenant_id AND r.assignment_id = a.id AND r.is_current "
)
ORDER = (
    " ORDER BY a.status IN ('R', 'C'), CASE WHEN a.status IN ('R', 'C') THEN 0 WHEN a.priority = 'stat' THEN 0 "
    "WHEN a.priority = 'urgent' THEN 1 ELSE 2 END, a.id DESC "
)


def load_worklist(
    session: Session, tenant_id: int, wanted: WorklistFilter, *, limit: int = 50, offset: int = 0
) -> list[WorklistRow]:
    """The rows under the filters: work to do before what is done, stat first, then the newest; at most MOST_ROWS."""
    where, values = _where(tenant_id, wanted)
    values |= {"limit": min(limit, MOST_ROWS), "offset": offset}
    found = session.execute(text(f"{ROWS} WHERE {where} {ORDER} LIMIT :limit OFFSET :offset"), values)
    return [WorklistRow(**row) for row in found.mappings()]


def load_rows(session: Session, tenant_id: int, ids: Sequence[int]) -> list[WorklistRow]:
    """These assignments as the list shows them, in the order given; ids that are not there are left out."""
    where = "a.tenant_id = :tenant_id AND a.id = ANY(:ids)"
    values = _constants(tenant_id) | {"ids": list(ids)}
    found = {row["id"]: WorklistRow(**row) for row in session.execute(text(f"{ROWS} WHERE {where}"), values).mappings()}
    return [found[one] for one in ids if one in found]


def get_row(session: Session, tenant_id: int, assignment_id: int) -> WorklistRow:
    """One assignment as the list shows it, or NotFoundError."""
    for row in load_rows(session, tenant_id, [assignment_id]):
        return row
    raise unknown_assignment(assignment_id)


def count_by_state(session: Session, tenant_id: int, wanted: WorklistFilter) -> dict[str, int]:
    """How many there are in each state under all filters but the state's own; every state is named."""
    where, values = _where(tenant_id, wanted.model_copy(update={"status": []}))
    counted = session.execute(text(f"SELECT a.status, count(*) {TABLES} WHERE {where} GROUP BY a.status"), values)
    counts = dict.fromkeys((str(status) for status in Status), 0)
    counts.update((row[0], row[1]) for row in counted)
    return counts


def find_accession(session: Session, tenant_id: int, scanned: str) -> list[int]:
    """The assignments a scanned code stands for: a sample's, newest run of work first; else a request's; else an id."""
    code = scanned.strip()
    statement = text("""
        SELECT id FROM assignment WHERE tenant_id = :tenant_id AND (
            sample_id = :code OR request_id = :code
            OR CAST(:number AS bigint) IS NOT NULL AND id = CAST(:number AS bigint))
        ORDER BY sample_id <> :code, request_id <> :code, id DESC LIMIT 100
    """)
    number = int(code) if code.isascii() and code.isdigit() and len(code) < 19 else None
    return list(session.scalars(statement, {"tenant_id": tenant_id, "code": code, "number": number}))


def _constants(tenant_id: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "open_states": [str(status) for status in OPEN],
        "stale_hours": STALE_HOURS,
        "warning_hours": EXPIRY_WARNING_HOURS,
    }


def _where(tenant_id: int, wanted: WorklistFilter) -> tuple[str, dict[str, Any]]:
    if any(status not in WORDS for status in wanted.status):
        raise InvalidError(f"status is one of {', '.join(WORDS)}", field="status")
    parts, values = ["a.tenant_id = :tenant_id"], _constants(tenant_id)
    for name, condition in CONDITIONS.items():
        value = getattr(wanted, name)
        if value not in (None, "", []):
            parts.append(condition)
            values[name] = value
    for condition, answer in ((STALE, wanted.is_stale), (EXPIRING, wanted.is_expiring)):
        if answer is not None:
            parts.append(condition if answer else f"NOT {condition}")
    return " AND ".join(parts), values
