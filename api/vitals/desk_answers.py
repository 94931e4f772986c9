"""What the API answers people about devices and readings; decimals are text."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.vitals.answers import HeldRule
from models.vitals.measures import MEASURES
from models.vitals.stores.held import HeldRow, as_received
from models.vitals.stores.lists import Asked, ListedReading
from models.vitals.tables import VitalSign


class Answer(BaseModel):
    """Read from a row or a dataclass of the same names."""

    model_config = ConfigDict(from_attributes=True)


class WearerAnswer(BaseModel):
    """Whose the device was, from when until when."""

    patient_id: int
    patient_code: str
    assigned_from: datetime
    assigned_until: datetime | None


class DeviceKeyAnswer(Answer):
    """A key, recognisable by its prefix; the key itself is shown when it is made and never again."""

    id: int
    name: str
    prefix: str
    can_write_vitals: bool
    can_read_patient: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewDeviceKeyAnswer(DeviceKeyAnswer):
    """A key just made; `key` is shown this once."""

    key: str
    url: str = Field(description="Where the device posts its readings")


class ActivityAnswer(BaseModel):
    """One request of a device and what it was answered."""

    at: datetime
    door: str = Field(description="vitals, batch or status; file for the file drop")
    status: int
    readings: int
    error: str | None
    ip_address: str | None
    key_id: int
    key_prefix: str | None

    @classmethod
    def of(cls, asked: Asked) -> "ActivityAnswer":
        """The answer about a row."""
        row = asked.row
        return cls(
            at=row.at,
            door=row.door,
            status=row.status,
            readings=row.readings,
            error=row.error,
            ip_address=row.ip_address,
            key_id=row.key_id,
            key_prefix=asked.key_prefix,
        )


class ActivityPage(BaseModel):
    """One page, the newest first."""

    items: list[ActivityAnswer]
    next_cursor: str | None = Field(description="null on the last page")


class ValueAnswer(BaseModel):
    """One vital sign in its canonical unit (UCUM), and as it was given where that is another."""

    value: Decimal
    unit: str
    given: Decimal | None = None
    given_unit: str | None = None


class ReadingAnswer(BaseModel):
    """One reading. `corrects_id`: the earlier reading of the same device and time, which this one corrects.

    `corrected_by_id`: the later one that corrects this one.
    """

    id: int
    recorded_at: datetime
    received_at: datetime
    patient_id: int
    patient_code: str
    data_source: Literal["manual", "device"]
    device_id: str | None
    recorded_by: int | None
    recorded_by_nurse: int | None
    corrects_id: int | None
    corrected_by_id: int | None
    alerts_triggered: int
    values: dict[str, ValueAnswer]
    consciousness: str | None
    supplemental_oxygen: bool | None
    signal_quality: int | None
    battery_level: int | None
    notes: str | None

    @classmethod
    def of(cls, found: ListedReading) -> "ReadingAnswer":
        """The answer about a row."""
        row = found.row
        same = cls.model_fields.keys() - {"patient_code", "device_id", "corrected_by_id", "values"}
        known = {name: getattr(row, name) for name in same}
        codes = {"patient_code": found.patient_code, "device_id": found.device_code}
        return cls(**known, **codes, corrected_by_id=found.corrected_by_id, values=values_of(row))


class ReadingPage(BaseModel):
    """One page, the newest first."""

    items: list[ReadingAnswer]
    next_cursor: str | None = Field(description="null on the last page")


class EnteredAnswer(BaseModel):
    """The entry is stored; the same one again is answered as the first time."""

    success: bool = True
    message: str = "Vital signs received successfully"
    vital_sign_id: int
    alerts_triggered: int
    timestamp: datetime


class HeldReadingAnswer(BaseModel):
    """A reading that rules hold, and what was decided."""

    id: int
    device_id: str
    patient_id: int | None = Field(description="Whose the device was at the reading's time")
    recorded_at: datetime
    received_at: datetime
    held: list[HeldRule]
    settled_at: datetime | None
    settlement: Literal["released", "discarded"] | None

    @classmethod
    def of(cls, found: HeldRow) -> "HeldReadingAnswer":
        """The answer about a row."""
        row = found.row
        return cls(
            id=row.id,
            device_id=found.device_code,
            patient_id=found.patient_id,
            recorded_at=row.recorded_at,
            received_at=row.received_at,
            held=[HeldRule(**one) for one in row.findings],
            settled_at=row.settled_at,
            settlement=row.settlement,
        )


class HeldReadingDetail(HeldReadingAnswer):
    """A held reading with what was received."""

    received: dict[str, Any]

    @classmethod
    def of(cls, found: HeldRow) -> "HeldReadingDetail":
        """The answer about a row."""
        known = HeldReadingAnswer.of(found).model_dump()
        return cls(**known, received=as_received(found.row))


class HeldReadingPage(BaseModel):
    """One page of held readings, the newest first."""

    items: list[HeldReadingAnswer]
    total: int
    page: int
    size: int


class ReleasedReadingAnswer(BaseModel):
    """A held reading is among the vital signs now."""

    success: bool = True
    vital_sign_id: int


def values_of(row: VitalSign) -> Mapping[str, ValueAnswer]:
    """The vital signs a reading has."""
    return {
        one.name: ValueAnswer(
            value=value,
            unit=one.canonical,
            given=getattr(row, f"{one.name}_given", None),
            given_unit=getattr(row, f"{one.name}_unit", None),
        )
        for one in MEASURES
        if (value := getattr(row, one.name)) is not None
    }
