"""The documented requests and answers of the devices' door, for the OpenAPI description."""

from typing import Any

from pydantic import BaseModel, Field

from api.errors import MEANING, ErrorAnswer

SAMPLE = {
    "device_id": "DEV001",
    "timestamp": "2025-11-17T10:30:00Z",
    "heart_rate": 75,
    "blood_pressure_systolic": 120,
    "blood_pressure_diastolic": 80,
    "temperature": 98.6,
    "temperature_unit": "F",
    "respiratory_rate": 16,
    "oxygen_saturation": 98.0,
    "glucose": 95.0,
    "weight": 150.0,
    "weight_unit": "lbs",
    "notes": "Morning reading",
    "signal_quality": 95,
    "battery_level": 80,
}


class ReadingBody(BaseModel):
    """One reading. At least one vital sign; what is not listed here is kept with it, and not looked at."""

    timestamp: str = Field(description="ISO 8601; without an offset the device's time zone is meant")
    heart_rate: int | None = Field(None, description="/min")
    blood_pressure_systolic: int | None = Field(None, description="mmHg")
    blood_pressure_diastolic: int | None = Field(None, description="mmHg")
    temperature: float | None = None
    temperature_unit: str = Field("F", description="F or C")
    respiratory_rate: int | None = Field(None, description="/min")
    oxygen_saturation: float | None = Field(None, description="%")
    glucose: float | None = None
    glucose_unit: str = Field("mg/dL", description="mg/dL or mmol/L")
    weight: float | None = None
    weight_unit: str = Field("lbs", description="lbs or kg")
    consciousness: str | None = Field(None, description="alert, confused, voice, pain or unresponsive")
    supplemental_oxygen: bool | None = None
    notes: str | None = None
    signal_quality: int | None = Field(None, ge=0, le=100)
    battery_level: int | None = Field(None, ge=0, le=100)


class SingleBody(ReadingBody):
    """One reading of the device whose key is shown."""

    device_id: str


class BatchBody(BaseModel):
    """Up to 1,000 readings."""

    device_id: str
    readings: list[ReadingBody]


class HeldRule(BaseModel):
    """A rule that holds a reading."""

    field: str
    rule: str


class SubmitAnswer(BaseModel):
    """Stored; a repeated reading is answered as the first time."""

    success: bool = True
    message: str
    vital_sign_id: int
    alerts_triggered: int
    timestamp: str


class HeldAnswer(BaseModel):
    """Kept, but not among the vital signs until a person releases it."""

    success: bool = False
    message: str
    vital_sign_id: None = None
    held: list[HeldRule]
    timestamp: str


class BadReading(BaseModel):
    """A reading of a batch that was not accepted."""

    index: int
    field: str | None
    reason: str


class HeldReading(BaseModel):
    """A reading of a batch that is held."""

    index: int
    held: list[HeldRule]


class BatchAnswer(BaseModel):
    """`failed` counts what was held, too."""

    success: bool
    message: str
    total_readings: int
    processed: int
    failed: int
    vitals_created: list[int]
    alerts_triggered: int
    errors: list[BadReading] | None = None
    held: list[HeldReading] | None = None


class StatusAnswer(BaseModel):
    """How the device stands; `patient_id` only for keys that may read it."""

    success: bool = True
    device_id: str
    device_name: str
    device_type: str
    is_active: bool
    patient_assigned: bool
    patient_id: str | None = None
    api_key_valid: bool
    last_reading: str | None


def _body(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _responses(answer: type[BaseModel], *, held: type[BaseModel] | None = None) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {200: {"model": answer}}
    if held is not None:
        found[202] = {"model": held, "description": "Held"}
    for status in (400, 401, 403, 413, 429, 500, 503):
        found[status] = {"model": ErrorAnswer, "description": MEANING[status]}
    return found


BATCH_SAMPLE = {
    "device_id": "DEV001",
    "readings": [{name: value for name, value in SAMPLE.items() if name != "device_id"}],
}
SUBMIT: dict[str, Any] = {
    "name": "submit_vitals",
    "summary": "Submit one reading",
    "responses": _responses(SubmitAnswer, held=HeldAnswer),
    "openapi_extra": {"requestBody": _body(SingleBody, SAMPLE)},
}
BATCH: dict[str, Any] = {
    "name": "submit_vitals_batch",
    "summary": "Submit several readings",
    "responses": _responses(BatchAnswer, held=BatchAnswer),
    "openapi_extra": {"requestBody": _body(BatchBody, BATCH_SAMPLE)},
}
STATUS: dict[str, Any] = {
    "name": "device_status",
    "summary": "How the device stands",
    "responses": _responses(StatusAnswer),
    "openapi_extra": {},
}
