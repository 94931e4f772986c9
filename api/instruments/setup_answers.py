"""What the API answers about instruments and the test catalogue: never a key, decimals as text."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.instruments.answers import Answer
from models.instruments.catalogue_inputs import PanelChange, TestChange


class DepartmentAnswer(Answer):
    """A section of the laboratory."""

    id: int
    version: int
    name: str
    email: str | None


class EquipmentAnswer(Answer):
    """An instrument, and what its latest status check said."""

    id: int
    version: int
    name: str
    model: str
    serial_number: str | None
    department_id: int | None
    api_endpoint: str | None
    auth_header: str
    is_idempotent: bool
    supports_auto_fetch: bool
    status: str
    timeout_seconds: Decimal | None
    calibration_date: date | None
    checked_at: datetime | None
    is_online: bool | None
    queue_length: int | None
    last_calibration_at: datetime | None


class FleetAnswer(Answer):
    """An instrument's figures; uptime in percent of its status checks, turnaround from queued to analysed."""

    id: int
    name: str
    status: str
    checked_at: datetime | None
    is_online: bool | None
    queue_length: int | None
    last_calibration_at: datetime | None
    uptime_day: Decimal | None
    uptime_week: Decimal | None
    turnaround_seconds: Decimal | None
    measured_count: int
    waiting_count: int
    queued_count: int
    failed_count: int
    unknown_count: int
    stale_count: int


class KeyAnswer(Answer):
    """A key of an instrument, without the key."""

    id: int
    valid_from: datetime
    valid_until: datetime | None


class PushKeyAnswer(Answer):
    """A key with which an instrument pushes its results, without the key."""

    id: int
    prefix: str = Field(description="How the key begins")
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = Field(description="To the minute")


class NewPushKeyAnswer(PushKeyAnswer):
    """A key just made: it is in this answer and never shown again."""

    key: str
    push_url: str = Field(description="Where the instrument posts its results, with `Authorization: Bearer <key>`")


class ConnectionAnswer(BaseModel):
    """What came of asking an instrument for its status. `problem` says why it did not answer."""

    is_online: bool
    status: str | None = None
    queue_length: int | None = None
    last_calibration_at: datetime | None = None
    problem: str | None = None


class TestAnswer(TestChange):
    """A test of the catalogue."""

    __test__ = False

    model_config = ConfigDict(from_attributes=True, frozen=True, extra="ignore")
    id: int


class PanelAnswer(PanelChange):
    """A panel of the catalogue."""

    model_config = ConfigDict(from_attributes=True, frozen=True, extra="ignore")
    id: int


class PlannedAnswer(Answer):
    """What an import does with one row: new, changed or unchanged."""

    kind: str
    code: str
    place: str
    what: str
    changes: dict[str, list[Any]]


class ProblemAnswer(Answer):
    """What is wrong with one row of a file."""

    place: str = Field(description="`line 7` of a CSV file, `tests[3]` of a JSON file")
    field: str
    message: str


class PreviewAnswer(BaseModel):
    """What importing a file would do, or did."""

    token: str = Field(description="To be sent with the same file to apply exactly this")
    new: int
    changed: int
    unchanged: int
    rows: list[PlannedAnswer]
    problems: list[ProblemAnswer]
