"""What a returned result must satisfy to be let through. Pure; messages name fields and never repeat values."""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from models.instruments.flags import Limits, Range, age_in_days, flag_of, matching_range
from models.instruments.schemas import InstrumentResult
from models.instruments.values import ParsedValue, UnreadableValueError, parse_value, same_unit

CLOCK_TOLERANCE = timedelta(minutes=2)
"""How far the instrument's clock may be from ours. Outside, the time is impossible: held, for a person to judge."""
QC_PASSED = "Passed"
"""The one word of the interface document for accepted quality control."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a result breaks, and the field of the instrument's answer in which it does."""

    rule: str
    field: str
    message: str

    def as_json(self) -> dict[str, str]:
        """As it is kept in held_result.violations."""
        return {"rule": self.rule, "field": self.field, "message": self.message}


@dataclass(frozen=True, slots=True)
class ExpectedResult:
    """What an assignment's result is compared with, and what its flag is set from."""

    assignment_id: int
    status: str
    run_number: int
    equipment_id: int | None
    queue_id: str | None
    request_id: str
    sample_id: str
    patient_code: str
    patient_codes: frozenset[str]
    """The patient's code and those of records merged into it: a sample labelled before a merge is still theirs."""
    sex: str
    birth_date: date | None
    test_id: int
    test_code: str
    test_name: str
    result_type: str
    unit: str
    plausible_low: Decimal | None
    plausible_high: Decimal | None
    panic_low: Decimal | None
    panic_high: Decimal | None
    ranges: tuple[Range, ...]
    ordered_at: datetime
    queued_at: datetime | None
    time_zone: str = "UTC"
    """The laboratory's: on which day a patient is how old is a matter of its calendar."""
    sent_test_name: str | None = None
    sent_test_code: str | None = None
    """As the instrument was told, which answers with that whatever the catalogue says by now."""

    @property
    def test_names(self) -> frozenset[str]:
        """Every word by which a result may name the test."""
        return self.test_codes | {self.test_name, self.sent_test_name or self.test_name}

    @property
    def test_codes(self) -> frozenset[str]:
        """The test's code now, and as it was sent."""
        return frozenset({self.test_code, self.sent_test_code or self.test_code})


@dataclass(frozen=True, slots=True)
class CheckedResult:
    """A kept message after its checks. `result` is None when it could not be read, which is then a violation."""

    expected: ExpectedResult
    run_number: int
    message_id: int
    source: str
    result: InstrumentResult | None
    violations: tuple[Violation, ...]


def parse_result(body: bytes) -> InstrumentResult | Violation:
    """The instrument's answer, or what is unreadable about it; a name given twice leaves open which one counts."""
    try:
        content = json.loads(body, object_pairs_hook=_once_each, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Violation("unreadable", "body", "the answer is not JSON in which every name occurs once")
    try:
        return InstrumentResult.model_validate(content)
    except ValidationError as error:
        field = str(next(iter(error.errors(include_input=False)[0]["loc"]), "body"))
        return Violation("unreadable", field, f"{field} is missing or not of the documented kind")


def check_result(expected: ExpectedResult, result: InstrumentResult, now: datetime) -> list[Violation]:
    """Every rule that a completed result breaks, in the order of the document; empty when it may be let through."""
    found = [*_identity(expected, result), *_value(expected, result)]
    if result.quality_control != QC_PASSED:
        found.append(Violation("quality_control", "qualityControl", f'quality control is not "{QC_PASSED}"'))
    found += _time(expected, result, now)
    return found


def limits_for(expected: ExpectedResult, at: datetime) -> Limits:
    """The limits that hold for this patient on the day that it is then in the laboratory.

    What is normal and what is critical are looked up each for itself: a laboratory has many ranges of ages for the one
    and few for the other. The test's panic limits hold where no range has one for this sex and age.
    """
    on = at.astimezone(ZoneInfo(expected.time_zone)).date()
    sex, age_days = expected.sex, age_in_days(expected.birth_date, on)
    normal = matching_range((one for one in expected.ranges if one.is_normal), sex, age_days)
    critical = matching_range((one for one in expected.ranges if one.is_critical), sex, age_days)
    return Limits(
        low=normal.low if normal else None,
        high=normal.high if normal else None,
        panic_low=_first(critical.panic_low if critical else None, expected.panic_low),
        panic_high=_first(critical.panic_high if critical else None, expected.panic_high),
    )


def flag_for(value: ParsedValue, limits: Limits) -> str | None:
    """The flag of a parsed value under these limits."""
    return flag_of(value.number, limits, value.comparator)


def check_plausible(value: ParsedValue, low: Decimal | None, high: Decimal | None, field: str) -> list[Violation]:
    """Outside the plausible limits a number is a mistake rather than an illness; "<1" lies below a limit of 1."""
    if value.number is None:
        return []
    if low is not None and (value.number < low or (value.comparator == "<" and value.number == low)):
        return [Violation("plausible", field, "the value lies below the plausible limit of the test")]
    if high is not None and (value.number > high or (value.comparator == ">" and value.number == high)):
        return [Violation("plausible", field, "the value lies above the plausible limit of the test")]
    return []


def _first(own: Decimal | None, other: Decimal | None) -> Decimal | None:
    return other if own is None else own


def _identity(expected: ExpectedResult, result: InstrumentResult) -> list[Violation]:
    found = []
    if expected.queue_id is not None and result.id != expected.queue_id:
        found.append(Violation("id", "id", "the result has another id than the one that was asked for"))
    if result.patient_id not in expected.patient_codes:
        found.append(Violation("patient", "patientId", "the patient is not the assignment's"))
    if result.test_name is None and result.test_code is None:
        found.append(Violation("test", "testName", "the result names no test"))
    if result.test_name is not None and result.test_name not in expected.test_names:
        found.append(Violation("test", "testName", "the test is not the assignment's"))
    if result.test_code is not None and result.test_code not in expected.test_codes:
        found.append(Violation("test", "testCode", "the test code is not the assignment's"))
    if result.sample_id is not None and result.sample_id != expected.sample_id:
        found.append(Violation("sample", "sampleId", "the sample is not the assignment's"))
    if result.request_id is not None and result.request_id != expected.request_id:
        found.append(Violation("request", "requestId", "the request is not the assignment's present run"))
    return found


def _value(expected: ExpectedResult, result: InstrumentResult) -> list[Violation]:
    found = []
    try:
        value = parse_value(result.value, expected.result_type)
    except UnreadableValueError as error:
        found.append(Violation("value", "value", str(error)))
    else:
        found += check_plausible(value, expected.plausible_low, expected.plausible_high, "value")
    if not same_unit(result.unit or "", expected.unit):
        found.append(Violation("unit", "unit", "the unit is not the test's"))
    return found


def _time(expected: ExpectedResult, result: InstrumentResult, now: datetime) -> list[Violation]:
    moment = result.completed_at
    if moment is None:
        return [Violation("time", "completedAt", "there is no time of completion")]
    if moment.tzinfo is None:
        return [Violation("time", "completedAt", "the time of completion has no offset")]
    if moment > now + CLOCK_TOLERANCE:
        return [Violation("time", "completedAt", "the time of completion lies in the future")]
    if moment < expected.ordered_at - CLOCK_TOLERANCE:
        return [Violation("time", "completedAt", "the time of completion lies before the order")]
    return []


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name occurs twice")
    return content


def _refuse(constant: str) -> Any:
    raise ValueError("not a JSON number")
