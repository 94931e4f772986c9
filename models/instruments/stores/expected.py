"""What returned results are compared with."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments.flags import Range
from models.instruments.result_rules import ExpectedResult

# The event before its delivery, by OFFSET 0: a join made from old statistics reads all deliveries for each assignment.
EXPECTED = text("""
SELECT a.id AS assignment_id, a.status, a.run_number, a.equipment_id, a.queue_id, a.request_id, a.sample_id,
       p.code AS patient_code,
       ARRAY(SELECT m.code FROM patient m WHERE m.tenant_id = p.tenant_id AND m.merged_into_id = p.id) AS merged_codes,
       p.sex, p.birth_date, t.id AS test_id, t.code AS test_code, t.name AS test_name, t.result_type, t.unit,
       t.plausible_low, t.plausible_high, t.panic_low, t.panic_high, a.ordered_at, a.queued_at,
       (SELECT n.time_zone FROM tenant n WHERE n.id = a.tenant_id) AS time_zone,
       (SELECT (array_agg(s.body ORDER BY s.id DESC))[1] FROM outbox_event o CROSS JOIN LATERAL (
            SELECT d.id, d.sent_body AS body FROM delivery d
            WHERE d.tenant_id = o.tenant_id AND d.event_id = o.id
              AND d.destination = 'instrument:' || a.equipment_id AND d.sent_body IS NOT NULL OFFSET 0
        ) s
        WHERE o.tenant_id = a.tenant_id AND o.entity = 'assignment:' || a.id
          AND o.payload->>'request_id' = a.request_id) AS sent_body
FROM assignment a
JOIN patient p ON p.tenant_id = a.tenant_id AND p.id = a.patient_id
JOIN test_definition t ON t.tenant_id = a.tenant_id AND t.id = a.test_id
WHERE a.tenant_id = :tenant_id AND a.id = ANY(:ids)
""")
RANGES = text("""
SELECT test_id, sex, age_from_days, age_to_days, low, high, panic_low, panic_high FROM reference_range
WHERE tenant_id = :tenant_id AND test_id = ANY(:ids) ORDER BY id
""")


def load_expected(session: Session, tenant_id: int, assignment_ids: Iterable[int]) -> dict[int, ExpectedResult]:
    """What the results of these assignments are compared with, by assignment, with two statements."""
    found = session.execute(EXPECTED, {"tenant_id": tenant_id, "ids": list(assignment_ids)}).mappings().all()
    ranges = load_ranges(session, tenant_id, {row["test_id"] for row in found})
    return {row["assignment_id"]: _expected(dict(row), ranges.get(row["test_id"], ())) for row in found}


def load_ranges(session: Session, tenant_id: int, test_ids: Iterable[int]) -> dict[int, tuple[Range, ...]]:
    """The reference ranges of these tests, by test."""
    by_test: dict[int, list[Range]] = defaultdict(list)
    for test_id, *values in session.execute(RANGES, {"tenant_id": tenant_id, "ids": list(test_ids)}):
        by_test[test_id].append(Range(*values))
    return {test_id: tuple(rows) for test_id, rows in by_test.items()}


def _expected(row: dict[str, Any], ranges: Sequence[Range]) -> ExpectedResult:
    merged: list[str] = row.pop("merged_codes")
    sent_body: memoryview | None = row.pop("sent_body")
    sent: dict[str, str] = {} if sent_body is None else json.loads(bytes(sent_body))
    return ExpectedResult(
        **row,
        patient_codes=frozenset([row["patient_code"], *merged]),
        ranges=tuple(ranges),
        sent_test_name=sent.get("testName"),
        sent_test_code=sent.get("testCode"),
    )
