"""What the API answers about orders and results; decimals are text."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.instruments.rules import Status


class Answer(BaseModel):
    """Read from a row or a dataclass of the same names."""

    model_config = ConfigDict(from_attributes=True)


class AssignmentAnswer(Answer):
    """An assignment as lists show it: codes and states, no name and no value."""

    id: int
    version: int
    status: Status
    priority: str
    sample_id: str
    request_id: str
    run_number: int
    patient_id: int
    patient_code: str
    test_id: int
    test_code: str
    test_name: str
    panel_code: str | None
    department_id: int | None
    department: str | None
    equipment_id: int | None
    equipment: str | None
    queue_id: str | None
    created_at: datetime
    ordered_at: datetime
    queued_at: datetime | None
    analyzed_at: datetime | None
    remarks: str
    is_stale: bool
    is_expiring: bool
    is_acknowledged: bool
    flag: str | None
    result_version: int | None


class AssignmentPage(BaseModel):
    """One page of the work list. `counts` is the number in each state under the other filters."""

    items: list[AssignmentAnswer]
    total: int
    page: int
    size: int
    counts: dict[str, int]


class AssignmentsAnswer(BaseModel):
    """The assignments that were made or found."""

    assignments: list[AssignmentAnswer]


class VerificationAnswer(Answer):
    """One level of verification."""

    level: int
    user_id: int
    name: str
    note: str
    verified_at: datetime


class ResultAnswer(Answer):
    """One version of a result."""

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
    verifications: list[VerificationAnswer]


class PreviousAnswer(Answer):
    """The patient's result of the same test before this one, and the change since."""

    assignment_id: int
    raw_value: str
    unit: str
    flag: str | None
    completed_at: datetime
    delta: Decimal | None
    delta_percent: Decimal | None


class ReleasedAnswer(Answer):
    """A released result as doctors see it."""

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


class CommentAnswer(Answer):
    """A remark beside an assignment."""

    id: int
    user_id: int
    body: str
    created_at: datetime


class AssignmentDetailAnswer(AssignmentAnswer):
    """One assignment with its patient and results. For doctors: `released` alone, the rest is empty until then."""

    family_name: str
    given_names: str
    cannot_send: list[str] = Field(description="Why it cannot be sent to its instrument; empty when it can")
    results: list[ResultAnswer]
    released: ReleasedAnswer | None
    previous: PreviousAnswer | None


class TimelineAnswer(Answer):
    """One thing that happened to an assignment."""

    at: datetime
    kind: str
    who: str | None
    facts: dict[str, Any]


class HeldAnswer(Answer):
    """A result that was not let through, and the rules that hold it."""

    id: int
    assignment_id: int | None
    message_id: int
    violations: list[dict[str, Any]]
    state: str
    held_at: datetime
    resolved_by: int | None
    resolved_at: datetime | None
    reason: str | None


class HeldDetailAnswer(HeldAnswer):
    """A held result with what was received, as text."""

    received_at: datetime
    body: str = Field(description="As received; bytes that are not UTF-8 are shown as \\xNN")


class HeldPage(BaseModel):
    """One page of held results, the newest first."""

    items: list[HeldAnswer]
    total: int
    page: int
    size: int


class OutcomeAnswer(Answer):
    """What became of one of many: its new state, or why it was refused."""

    assignment_id: int
    status: Status | None
    version: int | None
    error: str | None
    kind: str | None = Field(description="not_found, forbidden, conflict or refused")


class OutcomesAnswer(BaseModel):
    """The outcome of each, in the order asked."""

    outcomes: list[OutcomeAnswer]


class AcknowledgedAnswer(BaseModel):
    """Those that were not acknowledged before."""

    assignment_ids: list[int]


class PushedAnswer(BaseModel):
    """A pushed result is kept; its checks follow. The same bytes again get the same answer."""

    success: bool = True
    message_id: int
