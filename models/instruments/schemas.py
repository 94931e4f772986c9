"""The documented answers of an instrument, as the hub reads them: every text as received, nothing converted."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_TEXT = 4000


def _as_text(value: object) -> object:
    """A JSON integer as text (the decoder keeps fractions as text already); what PostgreSQL cannot keep is refused."""
    if isinstance(value, str) and ("\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
        raise ValueError("not storable text")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _moment(value: object) -> object:
    """A time must be ISO 8601 text; a bare number could be seconds or milliseconds and is refused."""
    if isinstance(value, str) and not value.lstrip("-").replace(".", "", 1).isdigit():
        moment = datetime.fromisoformat(value)
        try:
            (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError:  # at the very ends of the calendar: no database could give it back
            raise ValueError("not a time that can be kept") from None
        return moment
    if value is None or isinstance(value, datetime):
        return value
    raise ValueError("not an ISO 8601 time")


Text = Annotated[str, BeforeValidator(_as_text), Field(max_length=MOST_TEXT)]
Identifier = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=200)]


class InstrumentResult(BaseModel):
    """The answer to GET /api/results/{id}, and the body of a pushed result. Unknown fields are let through unread.

    `completed_at` may be naive here: that is a rule of its own, so that the held result names it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: Identifier
    status: Literal["queued", "running", "completed", "failed"]
    patient_id: Text | None = Field(default=None, alias="patientId")
    test_name: Text | None = Field(default=None, alias="testName")
    test_code: Text | None = Field(default=None, alias="testCode")
    sample_id: Text | None = Field(default=None, alias="sampleId")
    request_id: Text | None = Field(default=None, alias="requestId")
    value: Text | None = None
    unit: Text | None = None
    remarks: Text | None = None
    quality_control: Text | None = Field(default=None, alias="qualityControl")
    completed_at: Annotated[datetime | None, BeforeValidator(_moment)] = Field(default=None, alias="completedAt")
