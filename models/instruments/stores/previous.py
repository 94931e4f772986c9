"""A patient's earlier results of the same test, beside which a new one is judged."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments.values import same_unit


@dataclass(frozen=True, slots=True)
class Previous:
    """The result before, and the change since: `delta` in the test's unit, `delta_percent` of the earlier value.

    Both are None where one of the values has no number, or is a limit such as "<0.01".
    """

    assignment_id: int
    raw_value: str
    unit: str
    flag: str | None
    completed_at: datetime
    delta: Decimal | None
    delta_percent: Decimal | None


BEFORE = text("""
SELECT a.id, r.raw_value AS new_raw, r.value AS new_value, r.unit AS new_unit,
       b.assignment_id, b.raw_value, b.value, b.unit, b.flag, b.completed_at
FROM assignment a
JOIN result r ON r.tenant_id = a.tenant_id AND r.assignment_id = a.id AND r.is_current
CROSS JOIN LATERAL (
    SELECT x.assignment_id, x.raw_value, x.value, x.unit, x.flag, x.completed_at
    FROM assignment o
    JOIN result x ON x.tenant_id = o.tenant_id AND x.assignment_id = o.id AND x.is_current
    WHERE o.tenant_id = a.tenant_id AND o.patient_id = a.patient_id AND o.test_id = a.test_id AND o.id <> a.id
      AND o.status IN ('V', 'R') AND x.completed_at < r.completed_at
    ORDER BY x.completed_at DESC, x.id DESC LIMIT 1
) b
WHERE a.tenant_id = :tenant_id AND a.id = ANY(:ids)
""")
COMPARATORS = ("<", ">")


def load_previous(session: Session, tenant_id: int, assignment_ids: Iterable[int]) -> dict[int, Previous]:
    """The last verified result before each of these, of the same patient and test; without one there is no entry."""
    found = session.execute(BEFORE, {"tenant_id": tenant_id, "ids": list(assignment_ids)})
    return {row["id"]: _previous(dict(row)) for row in found.mappings()}


def change_between(old: Decimal | None, new: Decimal | None) -> tuple[Decimal | None, Decimal | None]:
    """The difference and its share of the earlier value in percent, to one decimal; None where there is none.

    Nor is there a share that has more digits than a Decimal: such as that of 1E+50, which a test without plausible
    limits lets in.
    """
    if old is None or new is None:
        return None, None
    delta = new - old
    if old == 0:
        return delta, None
    try:
        return delta, (delta / abs(old) * 100).quantize(Decimal("0.1"), ROUND_HALF_EVEN)
    except InvalidOperation:
        return delta, None


def _previous(row: dict[str, Any]) -> Previous:
    is_exact = not row["raw_value"].startswith(COMPARATORS) and not row["new_raw"].startswith(COMPARATORS)
    is_comparable = is_exact and same_unit(row["unit"], row["new_unit"])
    delta, percent = change_between(row["value"], row["new_value"]) if is_comparable else (None, None)
    return Previous(
        assignment_id=row["assignment_id"],
        raw_value=row["raw_value"],
        unit=row["unit"],
        flag=row["flag"],
        completed_at=row["completed_at"],
        delta=delta,
        delta_percent=percent,
    )
