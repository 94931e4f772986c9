"""What the API answers about people: never a hash, never a token that was shown before."""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Read from a row or a dataclass of the same names."""

    model_config = ConfigDict(from_attributes=True)


class MeAnswer(Answer):
    """The caller, as the hub sees them."""

    user_id: int
    email: str
    name: str
    roles: list[str]
    scopes: list[str] | None = Field(description="null for a signed-in person, who has all of the roles' rights")
    tenant_slug: str
    tenant_name: str
    time_zone: str
    csrf_token: str = Field(description="To be sent as X-CSRF-Token beside the session cookie; empty for API tokens")


class SignInAnswer(Answer):
    """A session has begun; its cookie is `labwire_session`."""

    csrf_token: str


class SessionAnswer(Answer):
    """A signed-in browser."""

    id: int
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    ip_address: str | None
    user_agent: str | None
    is_current: bool = False


class UserAnswer(Answer):
    """A user."""

    id: int
    email: str
    name: str
    roles: list[str]
    is_active: bool
    locked_until: datetime | None
    created_at: datetime


class TokenAnswer(Answer):
    """An API token, recognisable by its prefix."""

    id: int
    user_id: int
    name: str
    prefix: str
    scopes: list[str]
    equipment_id: int | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewTokenAnswer(TokenAnswer):
    """A token just made; `token` is shown this once."""

    token: str


class IdentifierAnswer(Answer):
    """A patient's number in another system."""

    id: int
    system: str
    value: str


class PatientAnswer(Answer):
    """A patient. `merged_into_id` names the record that remains when this one was merged."""

    id: int
    code: str
    family_name: str
    given_names: str
    sex: str
    birth_date: date | None
    email: str | None
    is_report_mailed: bool
    merged_into_id: int | None
    version: int
    created_at: datetime


class PatientDetailAnswer(PatientAnswer):
    """A patient with their numbers elsewhere and the codes of records merged into this one."""

    identifiers: list[IdentifierAnswer]
    merged_codes: list[str]


class PatientPage(BaseModel):
    """One page of a search."""

    items: list[PatientAnswer]
    total: int
    page: int
    size: int


class ReadAnswer(Answer):
    """Somebody looked at a patient."""

    occurred_at: datetime
    actor_kind: str
    actor_id: str
    actor_label: str
    action: str
    patient_id: int
    ip_address: str | None


class ReadPage(BaseModel):
    """One page of who looked at a patient, the latest first."""

    items: list[ReadAnswer]
    total: int
    page: int
    size: int


class MergeAnswer(BaseModel):
    """The record that remains, and how many rows moved to it from each table."""

    patient: PatientAnswer
    moved: dict[str, int]
