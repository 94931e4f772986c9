"""What people and programs send in: departments, instruments, orders, entries and decisions about results."""

from datetime import date, datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from models.kernel.clock import as_utc
from models.kernel.fields import Code, Email, Id, IsoDate, Line, Name, Text, one_line

MOST_AT_ONCE = 1000
OLDEST_YEAR = 1900
LONGEST_TIMEOUT_SECONDS = 60
"""A send must end well before its lease of 120 s does."""

Priority = Literal["routine", "urgent", "stat"]
Version = Annotated[int, Field(ge=1, description="the version that was seen; another one by now is refused (409)")]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500), AfterValidator(one_line)
]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
Secret = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=8, max_length=500), AfterValidator(one_line)
]


def _of_our_age(moment: datetime) -> datetime:
    """A time of antiquity is a slip of the pen, and not every zone can show it."""
    if moment.year < OLDEST_YEAR:
        raise ValueError(f"lies before {OLDEST_YEAR}")
    return moment


AwareTime = Annotated[datetime, AfterValidator(as_utc), AfterValidator(_of_our_age)]
ValueText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000), AfterValidator(one_line)
]


def _secure(address: str) -> str:
    """Plain http is for this machine alone. Where it really leads to is checked again when it is called."""
    if not address.isascii():
        raise ValueError("is not ASCII; an international name is written as xn--...")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a readable address") from None
    if parts.scheme == "http" and host != "localhost" and not _is_loopback(host):
        raise ValueError("plain http is for this machine alone; use https")
    return address.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


Endpoint = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^https?://[^\s/?#@]+[^\s?#@]*$"),
    AfterValidator(_secure),
]


class Input(BaseModel):
    """Unknown names are refused: a misspelt field must not be lost in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DepartmentInput(Input):
    """A section of the laboratory; its address receives notices."""

    name: Name
    email: Email | None = None


class DepartmentChange(DepartmentInput):
    """All fields of a department as they shall be, and the version they were read from."""

    version: Version


class EquipmentInput(Input):
    """An instrument. Keys are given on their own, so that they are never read back with it."""

    name: Name
    model: Line = ""
    serial_number: Code | None = None
    department_id: Id | None = None
    api_endpoint: Endpoint | None = Field(default=None, description="https, or http where the host is loopback")
    auth_header: HeaderName = "X-API-Key"
    is_idempotent: bool = Field(default=False, description="whether it honours Idempotency-Key and requestId")
    supports_auto_fetch: bool = False
    status: Literal["active", "maintenance", "inactive"] = "active"
    timeout_seconds: Decimal | None = Field(default=None, gt=0, le=LONGEST_TIMEOUT_SECONDS, max_digits=5)
    calibration_date: IsoDate | None = None


class EquipmentChange(EquipmentInput):
    """All fields of an instrument as they shall be, and the version they were read from."""

    version: Version


class KeyInput(Input):
    """A new key for an instrument; the ones before stay valid for the overlap."""

    key: Secret
    overlap_hours: int = Field(default=24, ge=0, le=24 * 90)


class PushKeyInput(Input):
    """A new key with which an instrument pushes its results; the ones before stay valid for the overlap."""

    expires_in_days: int = Field(default=365, ge=1, le=3650)
    overlap_hours: int = Field(default=24, ge=0, le=24 * 90)


class OrderInput(Input):
    """One test, or a panel that becomes one assignment per test, on one sample of one patient."""

    patient_code: Code | None = None
    patient_id: Id | None = None
    test_code: Code | None = None
    panel_code: Code | None = None
    sample_id: Code
    priority: Priority = "routine"
    equipment_id: Id | None = Field(default=None, description="default: the test's own instrument, where it has one")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.patient_code is None) == (self.patient_id is None):
            raise ValueError("give either patient_code or patient_id")
        if (self.test_code is None) == (self.panel_code is None):
            raise ValueError("give either test_code or panel_code")
        return self


class OrdersInput(Input):
    """Many orders at once: all are made, or none."""

    orders: list[OrderInput] = Field(min_length=1, max_length=MOST_AT_ONCE)


class CancelInput(Input):
    """Why an assignment is given up."""

    reason: Reason
    version: Version | None = None


class RetestInput(Input):
    """Why a run is done again."""

    reason: Reason
    version: Version | None = None


class InstrumentChoice(Input):
    """The instrument an assignment shall go to."""

    equipment_id: Id
    version: Version | None = None


class UnknownInput(Input):
    """What a person found out about a submission whose answer was never seen."""

    outcome: Literal["resend", "queued", "cancel"]
    queue_id: Code | None = Field(default=None, description="the instrument's number, for the outcome `queued`")
    reason: Reason
    version: Version | None = None

    @model_validator(mode="after")
    def _number_where_queued(self) -> Self:
        if (self.outcome == "queued") != (self.queue_id is not None):
            raise ValueError("queue_id belongs to the outcome `queued`, and is needed there")
        return self


class EntryInput(Input):
    """A result entered by hand."""

    value: ValueText
    unit: Line = Field(description="must be the test's unit: it is repeated so that nobody enters mg/dL as mmol/L")
    completed_at: AwareTime | None = Field(default=None, description="when it was measured; default: now")
    remarks: Text = ""
    version: Version | None = None


class CorrectionInput(Input):
    """A value that replaces one already there; the old version is kept."""

    value: ValueText
    unit: Line
    remarks: Text = ""
    reason: Reason
    version: Version


class HeldInput(Input):
    """What is done with a held result: let through as it is, corrected, fetched again, or discarded and run again."""

    action: Literal["release", "correct", "refetch", "discard"]
    reason: Reason
    value: ValueText | None = Field(default=None, description="for `correct`")
    unit: Line | None = Field(default=None, description="for `correct`: the test's unit")

    @model_validator(mode="after")
    def _value_where_corrected(self) -> Self:
        if (self.action == "correct") != (self.value is not None and self.unit is not None):
            raise ValueError("value and unit belong to the action `correct`, and are needed there")
        return self


class MatchInput(Input):
    """The assignment to which a pushed result belongs that matched none."""

    assignment_id: Id
    reason: Reason


class VerifyInput(Input):
    """One level of verification of the result that was seen."""

    version: Version
    note: Line = ""


class SeenAssignment(Input):
    """An assignment in the version that was seen."""

    assignment_id: Id
    version: Version


class VerifyManyInput(Input):
    """Several at once; each has its own outcome."""

    assignments: list[SeenAssignment] = Field(min_length=1, max_length=200)
    note: Line = ""


class ReleaseInput(Input):
    """The release of the version that was seen."""

    version: Version


class ReleaseManyInput(Input):
    """Several at once; each has its own outcome."""

    assignments: list[SeenAssignment] = Field(min_length=1, max_length=200)


class CommentInput(Input):
    """A remark beside an assignment."""

    body: Annotated[Text, Field(min_length=1)]


class AcknowledgeInput(Input):
    """Stale assignments somebody has taken note of: they are not mailed again."""

    assignment_ids: list[Id] = Field(min_length=1, max_length=MOST_AT_ONCE)


class WorklistFilter(Input):
    """What the work list shows; what is not given does not narrow it."""

    status: list[str] = Field(default_factory=list)
    department_id: Id | None = None
    equipment_id: Id | None = None
    patient_id: Id | None = None
    priority: Priority | None = None
    test_code: Code | None = None
    sample_id: Code | None = None
    search: Line = Field(default="", description="the beginning of an accession, request or patient code")
    is_stale: bool | None = None
    is_expiring: bool | None = None
    created_from: date | None = None
    created_to: date | None = None
