"""The batch rules: fetched results compared with what was ordered, as one frame, by the Great Expectations suite."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from models.instruments.result_rules import CheckedResult, Violation

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


def judge(checked: Sequence[CheckedResult], now: datetime) -> list[CheckedResult]:
    """The same results, with a violation added to each that the suite, or its whole batch, holds.

    Anything that goes wrong here is raised, so that nothing is let through unjudged.
    """
    rows = [_row(one, now) for one in checked if _is_completed(one)]
    found = _failures(rows) if rows else {}
    judged = [_with(one, found.get(one.message_id, ())) for one in checked]
    return _quarantined(judged)


def _is_completed(one: CheckedResult) -> bool:
    return one.result is not None and one.result.status == "completed"


def _row(one: CheckedResult, now: datetime) -> dict[str, Any]:
    """What the suite looks at; the expectations about it are written down in expectations/instruments.py alone."""
    result, expected = one.result, one.expected
    assert result is not None  # noqa: S101  # _is_completed said so
    moment = result.completed_at if result.completed_at is not None and result.completed_at.tzinfo else None
    is_theirs = result.patient_id in expected.patient_codes  # merged records' codes are the patient's own
    return {
        "message_id": one.message_id,
        "patient": result.patient_id,
        "expected_patient": result.patient_id if is_theirs else expected.patient_code,
        "test": result.test_name if result.test_name is not None else result.test_code,
        "expected_test": expected.test_code if result.test_name in (None, expected.test_code) else expected.test_name,
        "unit": (result.unit or "").strip(),
        "expected_unit": expected.unit,
        "sample": result.sample_id if result.sample_id is not None else expected.sample_id,
        "expected_sample": expected.sample_id,
        "quality_control": result.quality_control,
        "value": (result.value or "").strip() or None,
        "number": (result.value or "").strip() if expected.result_type == "numeric" else None,
        "seconds_after_order": int((moment - expected.ordered_at).total_seconds()) if moment else None,
        "seconds_ahead": int((moment - now).total_seconds()) if moment else None,
    }


def _failures(rows: list[dict[str, Any]]) -> dict[int, list[str]]:
    """By message id, the columns in which the suite found it wrong; ValueError when the suite could not judge."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    definition, suite = _suite()
    report = definition.get_batch({"dataframe": frame}).validate(
        suite,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["message_id"],
            "exclude_unexpected_values": True,
        },
    )
    found: dict[int, list[str]] = {}
    for each in report.results:
        if each.success:
            continue
        settings = each.expectation_config.kwargs
        column = settings.get("column") or settings.get("column_A")
        failed = each.result.get("unexpected_index_list")
        if column is None or failed is None:
            raise ValueError(f"the results could not be judged: {each.expectation_config.type}")
        for message_id in (one for group in failed for one in group["message_id"]):
            found.setdefault(int(message_id), []).append(column)
    return found


@lru_cache(maxsize=1)
def _suite() -> tuple[Any, Any]:
    """The suite and where frames are put in; made once per process. Imported here: it takes seconds."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    from expectations.instruments import build_suite

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("results").add_dataframe_asset("fetched")
    return asset.add_batch_definition_whole_dataframe("all"), context.suites.add(build_suite())


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
