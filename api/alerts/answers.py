"""What the API answers about alerts; decimals are text."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from models.alerts.schemas import StepIn


class Answer(BaseModel):
    """Read from a row or a dataclass of the same names."""

    model_config = ConfigDict(from_attributes=True)


class AlertAnswer(Answer):
    """An alert: whose, of what kind and level, and how far it has gone. `value` is the worst one, in `unit` (UCUM)."""

    id: int
    version: int
    patient_id: int
    patient_code: str
    kind: str
    level: str
    value: Decimal
    unit: str
    vital_sign_id: int | None
    opened_at: datetime
    seen_at: datetime
    answer: str | None
    told_at: datetime | None
    next_step_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: int | None
    read_back: str | None
    closed_at: datetime | None
    closed_by: int | None
    ending: str | None


class AlertPage(BaseModel):
    """One page of alerts."""

    items: list[AlertAnswer]
    total: int
    page: int
    size: int


class AlertEventAnswer(Answer):
    """One thing that happened to an alert: `opened`, `asked`, `answered`, `told`, `acknowledged` and so on."""

    id: int
    at: datetime
    name: str
    level: str
    vital_sign_id: int | None
    user_id: int | None
    round: int
    step: int | None
    detail: dict[str, Any]


class AlertDetailAnswer(AlertAnswer):
    """An alert with its whole story, in order."""

    events: list[AlertEventAnswer]


class PolicyAnswer(BaseModel):
    """The tenant's ladder; `version` 0 is the usual one, which nobody has set."""

    version: int
    ladder: list[StepIn]
    question_minutes: int
    critical_skips_question: bool


class ContactAnswer(Answer):
    """Somebody a step of the ladder tells."""

    id: int
    role: str
    name: str
    address: str


class ToldAnswer(Answer):
    """Somebody a step reaches: a contact, or a user where a role has no contact of its own."""

    name: str
    address: str


class ReachAnswer(Answer):
    """A step of the ladder and whom it would tell now, by role."""

    after_minutes: int
    told: dict[str, list[ToldAnswer]]
    is_anybody: bool


class ThresholdAnswer(BaseModel):
    """The limits in force for one kind, and their source; `is_own` where tenant or patient set them.

    `version` is that of the tenant's own limits, or of the patient's where one was asked about; 0 where there are none.
    """

    kind: str
    label: str
    measure: str
    unit: str
    is_high: bool
    warning: Decimal | None
    critical: Decimal | None
    margin: Decimal
    source: str
    is_on: bool
    is_own: bool
    version: int
