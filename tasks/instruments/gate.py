"""The batch rules: fetched results compared with what was ordered, as one frame, by the Great Expectations suite."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.instruments.result_rules import CheckedResult, Violation
from models.instruments.values import spelling
from models.upkeep.quality import Validation
from tasks.quality import Verdict, validate

FEW = 20
"""Of fewer results of one instrument no share is counted."""
# Column of the suite -> field of the instrument's answer, as held results name it.
FIELDS = {
    "patient": "patientId",
    "test": "testName",
    "unit": "unit",
    "sample": "sampleId",
    "quality_control": "qualityControl",
    "value": "value",
    "number": "value",
    "seconds_after_order": "completedAt",
    "seconds_ahead": "completedAt",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """Results after the suite, by message id, and what it found, by tenant id, to be kept with them."""

    results: Mapping[int, CheckedResult]
    validations: Mapping[int, Validation]


def judge(checked: Mapping[int, Sequence[CheckedResult]], now: datetime) -> Judged:
    """Results by tenant id: the same, with a violation added to each that the suite, or its whole batch, holds.

    Anything that goes wrong here is raised, so that nothing is let through unjudged.
    """
    rows = [_row(tenant_id, one, now) for tenant_id, ones in checked.items() for one in ones if _is_completed(one)]
    verdict = _look_at(rows) if rows else Verdict({}, {}, frozenset())
    judged = [_with(one, verdict.failures.get(one.message_id, ())) for ones in checked.values() for one in ones]
    return Judged({one.message_id: one for one in _quarantined(judged)}, verdict.validations)


def _is_completed(one: CheckedResult) -> bool:
    return one.result is not None and one.result.status == "completed"


def _row(tenant_id: int, one: CheckedResult, now: datetime) -> dict[str, Any]:
    """What the suite looks at; the expectations about it are written down in expectations/instruments.py alone."""
    result, expected = one.result, one.expected
    assert result is not None  # noqa: S101  # _is_completed said so
    moment = result.completed_at if result.completed_at is not None and result.completed_at.tzinfo else None
    said = result.test_name if result.test_name is not None else result.test_code
    names = expected.test_names if result.test_name is not None else expected.test_codes
    is_theirs = result.patient_id in expected.patient_codes  # merged records' codes are the patient's own
    return {
        "tenant_id": tenant_id,
        "message_id": one.message_id,
        "assignment_id": expected.assignment_id,
        "equipment_id": expected.equipment_id or 0,
        "patient": result.patient_id,
        "expected_patient": result.patient_id if is_theirs else expected.patient_code,
        "test": said,
        "expected_test": said if said in names else expected.test_name,  # as it is named, or was when it was sent
        "unit": spelling(result.unit or ""),
        "expected_unit": spelling(expected.unit),
        "sample": result.sample_id if result.sample_id is not None else expected.sample_id,
        "expected_sample": expected.sample_id,
        "quality_control": result.quality_control,
        "value": (result.value or "").strip() or None,
        "number": (result.value or "").strip() if expected.result_type == "numeric" else None,
        "seconds_after_order": int((moment - expected.ordered_at).total_seconds()) if moment else None,
        "seconds_ahead": int((moment - now).total_seconds()) if moment else None,
    }


def _look_at(rows: list[dict[str, Any]]) -> Verdict:
    from expectations.instruments import build_suite  # imported here: it takes seconds

    verdict = validate(build_suite, rows, ids=("message_id", "assignment_id", "equipment_id"))
    if verdict.whole:
        raise ValueError("the suite has an expectation about a batch, and nothing here to hold by it")
    return verdict


def _with(one: CheckedResult, columns: Sequence[str]) -> CheckedResult:
    """Row rules name a field first; the suite adds only what they let through."""
    known = {violation.field for violation in one.violations}
    fields = dict.fromkeys(FIELDS[column] for column in columns)
    added = tuple(
        Violation("suite", field, f"{field} does not meet the expectations on fetched results")
        for field in fields
        if field not in known
    )
    return _replace(one, added) if added else one


def _quarantined(judged: list[CheckedResult]) -> list[CheckedResult]:
    """Where most results of one instrument are wrong, the rest are not to be believed either."""
    totals: Counter[int | None] = Counter()
    wrong: Counter[int | None] = Counter()
    for one in judged:
        if _is_completed(one):
            totals[one.expected.equipment_id] += 1
            wrong[one.expected.equipment_id] += bool(one.violations)
    suspect = {place for place, total in totals.items() if total >= FEW and wrong[place] * 2 > total}
    message = "most results that came from this instrument together with it were wrong"
    return [
        _replace(one, (Violation("batch", "body", message),))
        if one.expected.equipment_id in suspect and _is_completed(one) and not one.violations
        else one
        for one in judged
    ]


def _replace(one: CheckedResult, added: tuple[Violation, ...]) -> CheckedResult:
    return CheckedResult(
        one.expected, one.run_number, one.message_id, one.source, one.result, (*one.violations, *added)
    )
