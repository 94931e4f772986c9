"""What was expected of a result beside what was received, field by field. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from models.instruments.result_rules import QC_PASSED, ExpectedResult, Violation
from models.instruments.schemas import InstrumentResult

LABELS = {
    "id": "Number",
    "patientId": "Patient",
    "testName": "Test",
    "testCode": "Test code",
    "sampleId": "Sample",
    "requestId": "Request",
    "value": "Value",
    "unit": "Unit",
    "qualityControl": "Quality control",
    "completedAt": "Measured",
    "remarks": "Remarks",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One field of the answer; `is_wrong` where a rule names it."""

    label: str
    expected: str | datetime
    received: str | datetime
    is_wrong: bool


def compare(
    expected: ExpectedResult | None, result: InstrumentResult | Violation, wrong: Collection[str]
) -> list[Compared]:
    """The fields of a readable answer in the order of the document; nothing where it could not be read."""
    if isinstance(result, Violation):
        return []
    hopes = _hopes(expected)
    said: dict[str, str | datetime | None] = {
        "id": result.id,
        "patientId": result.patient_id,
        "testName": result.test_name,
        "testCode": result.test_code,
        "sampleId": result.sample_id,
        "requestId": result.request_id,
        "value": result.value,
        "unit": result.unit,
        "qualityControl": result.quality_control,
        "completedAt": _moment(result.completed_at),
        "remarks": result.remarks or None,
    }
    return [
        Compared(LABELS[name], hopes.get(name, ""), value or "–", name in wrong)
        for name, value in said.items()
        if value is not None or name in wrong
    ]


def _hopes(expected: ExpectedResult | None) -> dict[str, str | datetime]:
    """What each field should say; nothing where no assignment is known."""
    if expected is None:
        return {"qualityControl": QC_PASSED}
    limits = [
        f"at least {expected.plausible_low}" if expected.plausible_low is not None else "",
        f"at most {expected.plausible_high}" if expected.plausible_high is not None else "",
    ]
    kind = "a number" if expected.result_type == "numeric" else "a text"
    return {
        "id": expected.queue_id or "",
        "patientId": expected.patient_code,
        "testName": expected.test_name,
        "testCode": expected.test_code,
        "sampleId": expected.sample_id,
        "requestId": expected.request_id,
        "value": ", ".join([kind, *filter(None, limits)]),
        "unit": expected.unit,
        "qualityControl": QC_PASSED,
        "completedAt": expected.ordered_at,
    }


def _moment(value: datetime | None) -> str | datetime | None:
    """A time; as text where it has no offset, for then nobody knows which moment it is."""
    return value.isoformat() if value is not None and value.tzinfo is None else value
