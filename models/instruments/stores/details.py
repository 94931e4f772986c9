"""One assignment's results with who entered, verified and released them; and what doctors may see of a patient."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """One level of verification."""

    level: int
    user_id: int
    name: str
    note: str
    verified_at: datetime


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One version of a result, the limits as they were when its flag was set."""

    id: int
    assignment_id: int
    version: int
    run_number: int
    is_current: bool
    source: str
    raw_value: str
    value: Decimal | None
    unit: str
    flag: str | None
    range_low: Decimal | None
    range_high: Decimal | None
    panic_low: Decimal | None
    panic_high: Decimal | None
    quality_control: str | None
    remarks: str
    completed_at: datetime
    entered_by: int | None
    entered_by_name: str | None
    reason: str | None
    released_at: datetime | None
    created_at: datetime
    verifications: list[VerificationRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReleasedRow:
    """A result as doctors see it: the version released last. `is_being_corrected`: a newer one awaits release."""

    assignment_id: int
    sample_id: str
    test_code: str
    test_name: str
    loinc: str | None
    version: int
    raw_value: str
    value: Decimal | None
    unit: str
    flag: str | None
    range_low: Decimal | None
    range_high: Decimal | None
    remarks: str
    completed_at: datetime
    released_at: datetime
    is_corrected: bool
    is_being_corrected: bool


RESULTS = text("""
SELECT r.id, r.assignment_id, r.version, r.run_number, r.is_current, r.source, r.raw_value, r.value, r.unit, r.flag,
       r.range_low, r.range_high, r.panic_low, r.panic_high, r.quality_control, r.remarks, r.completed_at,
       r.entered_by, u.name AS entered_by_name, r.reason, r.released_at, r.created_at
FROM result r LEFT JOIN app_user u ON u.tenant_id = r.tenant_id AND u.id = r.entered_by
WHERE r.tenant_id = :tenant_id AND r.assignment_id = ANY(:ids) ORDER BY r.assignment_id, r.version
""")
VERIFICATIONS = text("""
SELECT v.result_id, v.level, v.user_id, u.name, v.note, v.verified_at
FROM verification v JOIN app_user u ON u.tenant_id = v.tenant_id AND u.id = v.user_id
WHERE v.tenant_id = :tenant_id AND v.result_id = ANY(:ids) ORDER BY v.level
""")
RELEASED = text("""
SELECT a.id AS assignment_id, a.sample_id, t.code AS test_code, t.name AS test_name, t.loinc, r.version, r.raw_value,
       r.value, r.unit, r.flag, r.range_low, r.range_high, r.remarks, r.completed_at, r.released_at,
       r.earlier > 0 AS is_corrected, NOT r.is_current AS is_being_corrected
FROM assignment a
JOIN test_definition t ON t.tenant_id = a.tenant_id AND t.id = a.test_id
JOIN LATERAL (
    SELECT x.*, count(*) OVER () - 1 AS earlier FROM result x
    WHERE x.tenant_id = a.tenant_id AND x.assignment_id = a.id AND x.released_at IS NOT NULL
    ORDER BY x.version DESC LIMIT 1
) r ON true
WHERE a.tenant_id = :tenant_id AND (a.patient_id = :patient_id OR a.id = :assignment_id)
ORDER BY r.completed_at DESC, a.id DESC LIMIT :most
""")


def load_results(session: Session, tenant_id: int, assignment_ids: Iterable[int]) -> dict[int, list[ResultRow]]:
    """Every version of the results of these, oldest first, by assignment."""
    found = session.execute(RESULTS, {"tenant_id": tenant_id, "ids": list(assignment_ids)}).mappings().all()
    levels: dict[int, list[VerificationRow]] = defaultdict(list)
    for result_id, *level in session.execute(
        VERIFICATIONS, {"tenant_id": tenant_id, "ids": [row["id"] for row in found]}
    ):
        levels[result_id].append(VerificationRow(*level))
    by_assignment: dict[int, list[ResultRow]] = defaultdict(list)
    for row in found:
        by_assignment[row["assignment_id"]].append(ResultRow(**row, verifications=levels[row["id"]]))
    return by_assignment


def load_released(
    session: Session,
    tenant_id: int,
    *,
    patient_id: int | None = None,
    assignment_id: int | None = None,
    most: int = 200,
) -> list[ReleasedRow]:
    """What is released of a patient or of one assignment, the newest measurement first."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "patient_id": patient_id, "assignment_id": assignment_id}
    return [ReleasedRow(**row) for row in session.execute(RELEASED, values | {"most": most}).mappings()]
