"""What the JSON API says about deliveries and the audit trail."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from models.kernel.fields import Id, Line

DeliveryState = Literal["dead", "unknown", "due", "leased", "done", "skipped"]


class DeliveryAnswer(BaseModel):
    """One event on its way to one destination. What it carries is not shown: it may hold a patient's data."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    type: str = Field(description="What happened, such as `assignment.ordered`")
    destination: str = Field(description="`mail`, or `instrument:` and the equipment's id")
    entity: str = Field(description="What it is about, such as `assignment:789`")
    state: DeliveryState
    attempts: int = Field(description="Sends so far, counted anew after a replay")
    created_at: datetime
    next_attempt_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    last_answer: str | None
    may_be_replayed: bool
    may_be_skipped: bool


class DeliveryPage(BaseModel):
    """Deliveries, the newest first, and how many there are in each state under the other filters."""

    items: list[DeliveryAnswer]
    total: int
    page: int
    size: int
    counts: dict[str, int]


class SkipInput(BaseModel):
    """Why a delivery is given up."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[Line, StringConstraints(min_length=1)]


class ReplayInput(BaseModel):
    """Which deliveries are to be sent again."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Id] = Field(min_length=1, max_length=500)


class ReplayAnswer(BaseModel):
    """How many are due again, and why the others are not."""

    replayed: int
    refusals: list[str]


class AuditQuery(BaseModel):
    """Which audit rows; a field left out means all. `actor` and `action` are matched from their beginning."""

    actor: Line = Field(default="", description="As the trail names them: a person's address, an instrument's name")
    action: Line = Field(default="", description="`assignment.release`, or `assignment.` for all about assignments")
    resource_type: Line = ""
    resource_id: Line = ""
    since: AwareDatetime | None = Field(default=None, description="From this moment on")
    until: AwareDatetime | None = Field(default=None, description="Before this moment")
    before_id: Id | None = Field(default=None, description="`next_before_id` of the page before")
    size: int = Field(default=50, ge=1, le=100)


class AuditAnswer(BaseModel):
    """One row of the audit trail."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    occurred_at: datetime
    actor_kind: str = Field(description="user, device, instrument, flow or system")
    actor_label: str
    action: str
    resource_type: str
    resource_id: str
    changes: dict[str, Any] | None = Field(
        description="None where it may concern patients and the caller has no such role"
    )
    ip_address: str | None
    session_id: str | None
    position: int | None = Field(description="Its place in the sealed chain; none while it is not sealed yet")
    is_genuine: bool = Field(
        description="Whether the row is as it was written; `labwire audit verify` checks the whole"
    )


class AuditPage(BaseModel):
    """Audit rows, the newest first; `next_before_id` goes on behind them, none at the end."""

    items: list[AuditAnswer]
    next_before_id: int | None
