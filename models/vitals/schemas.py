"""What arrives about devices: the shapes of requests and forms. Readings are parsed in readings.py."""

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from models.kernel.fields import Code, Id, Line, Name

DEVICE_TYPES = (
    *("Blood Pressure Monitor", "Pulse Oximeter", "Glucose Meter", "Thermometer", "Weight Scale", "ECG Monitor"),
    *("Patient Monitor", "Wearable", "Gateway", "Other"),
)


def _known_zone(value: str) -> str:
    if value and value not in available_timezones():
        raise ValueError("is not an IANA time zone such as Europe/Zurich")
    return value


Zone = Annotated[Line, AfterValidator(_known_zone)]


class Shape(BaseModel):
    """A request body: unknown fields are refused, so that a misspelt one is not silently lost."""

    model_config = ConfigDict(extra="forbid")


class DeviceIn(Shape):
    """A device. `device_id` is how it names itself; `time_zone` is meant where its timestamps have no offset."""

    device_id: Code
    name: Name
    device_type: Name = "Other"
    time_zone: Zone = ""
    is_active: bool = True
    silence_minutes: Annotated[int, Field(ge=1, le=43_200)] | None = None
    rate_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class DeviceEdit(DeviceIn):
    """All of a device as it shall be; `version` is the one that was read."""

    version: Id


class WearerIn(Shape):
    """Whose device it is from a moment on (left out: now); None as patient: nobody's."""

    patient_id: Id | None
    since: AwareDatetime | None = None


class DeviceKeyIn(Shape):
    """A new key. The keys before it end after the overlap (0: at once; left out: they stay as they are)."""

    name: Name = "Key"
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = 365
    can_write_vitals: bool = True
    can_read_patient: bool = False
    overlap_hours: Annotated[int, Field(ge=0, le=2160)] | None = None


class DeviceSummary(BaseModel):
    """A device as lists show it."""

    id: int
    device_id: str
    name: str
    device_type: str
    time_zone: str
    is_active: bool
    silence_minutes: int | None
    rate_per_minute: int | None
    version: int
    patient_id: int | None
    patient_code: str | None
    contact_at: datetime | None
    reading_at: datetime | None
    battery_level: int | None
    signal_quality: int | None
    key_state: Literal["valid", "ending", "none"]
