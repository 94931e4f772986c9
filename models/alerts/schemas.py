"""What arrives about alerts: the shapes of requests and forms, with every bound a field has."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from models.kernel.fields import Code, Email, Id, Name, Text

Role = Literal["doctor", "nurse", "emergency"]
Answer = Literal["yes", "no", "help"]
Version = Annotated[int, Field(ge=1, le=2**31)]
Limit = Annotated[Decimal, Field(ge=0, le=10_000, max_digits=12, decimal_places=4, allow_inf_nan=False)]
ReadBack = Annotated[Text, StringConstraints(min_length=1, max_length=500)]


class Shape(BaseModel):
    """A request body: unknown fields are refused, so that a misspelt one is not silently lost."""

    model_config = ConfigDict(extra="forbid")


class AcknowledgeIn(Shape):
    """Somebody takes the alert over. `read_back`: in their own words what they were told, and what they do."""

    version: Version
    read_back: ReadBack


class CloseIn(Shape):
    """Somebody ends the alert, with the reason."""

    version: Version
    reason: ReadBack


class AnswerIn(Shape):
    """What the patient answers."""

    answer: Answer


class StepIn(Shape):
    """`roles` are told so many minutes after the ladder began."""

    after_minutes: Annotated[int, Field(ge=0, le=24 * 60)]
    roles: Annotated[list[Role], Field(min_length=1, max_length=3)]


class PolicyIn(Shape):
    """A tenant's ladder. `version` is 0 where none was set yet."""

    version: Annotated[int, Field(ge=0, le=2**31)]
    ladder: Annotated[list[StepIn], Field(min_length=1, max_length=10)]
    question_minutes: Annotated[int, Field(ge=1, le=240)]
    critical_skips_question: bool

    @model_validator(mode="after")
    def _goes_up(self) -> Self:
        minutes = [step.after_minutes for step in self.ladder]
        if minutes[0] != 0:
            raise ValueError("the first step is due at once: its after_minutes is 0")
        if minutes != sorted(minutes):
            raise ValueError("the steps come in the order of their after_minutes")
        return self


class ContactIn(Shape):
    """Somebody a step of the ladder tells."""

    role: Role
    name: Name
    address: Email


class ThresholdIn(Shape):
    """Limits of the tenant's own for one kind, or of one patient's; an empty limit is the usual one."""

    kind: Annotated[Code, Field(description="One of those that `GET /alerts/thresholds` lists")]
    patient_id: Id | None = None
    warning: Limit | None = None
    critical: Limit | None = None
    margin: Limit | None = None
    is_on: bool = True
