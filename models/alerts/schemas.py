"""What arrives about alerts: the shapes of requests and forms, with every bound a field has."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

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

    @field_validator("roles")
    @classmethod
    def _each_once(cls, roles: list[Role]) -> list[Role]:
        if len(set(roles)) < len(roles):
            raise ValueError("each role is told once a step")
        return roles


class PolicyIn(Shape):
    """A tenant's ladder. `version` is 0 where none was set yet."""

    version: Annotated[int, Field(ge=0, le=2**31)]
    ladder: Annotated[list[StepIn], Field(min_length=1, max_length=10)]
    question_minutes: Annotated[int, Field(ge=1, le=240)]
    critical_skips_question: bool

    @field_validator("ladder")
    @classmethod
    def _goes_up(cls, ladder: list[StepIn]) -> list[StepIn]:
        minutes = [step.after_minutes for step in ladder]
        if minutes[0] != 0:
            raise ValueError("the first step is due at once: its after_minutes is 0")
        for number, (before, after) in enumerate(pairwise(minutes), 2):
            if after < before:
                raise ValueError(f"step {number} would come before step {number - 1}: the minutes count from the start")
        return ladder


class ContactIn(Shape):
    """Somebody a step of the ladder tells."""

    role: Role
    name: Name
    address: Email


class ThresholdIn(Shape):
    """Limits of the tenant's own for one kind, or of one patient's; an empty limit is the usual one."""

    kind: Annotated[Code, Field(description="One of those that `GET /alerts/thresholds` lists")]
    patient_id: Id | None = None
    version: Annotated[
        int | None,
        Field(ge=0, le=2**31, description="The one that was read; 0: there were none. Left out: nothing is compared"),
    ] = None
    warning: Limit | None = None
    critical: Limit | None = None
    margin: Limit | None = None
    is_on: bool = True
