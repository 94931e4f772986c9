"""What people give about readings: manual entries, and decisions about held ones."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from models.kernel.fields import Id, Line, Text
from models.vitals.measures import MOST_DIGITS
from models.vitals.schemas import Shape

Whole = Annotated[int, Field(gt=-(10**MOST_DIGITS), lt=10**MOST_DIGITS)]
Number = Annotated[Decimal, Field(max_digits=MOST_DIGITS, allow_inf_nan=False)]
Consciousness = Literal["alert", "confused", "voice", "pain", "unresponsive"]
DataSource = Literal["manual", "device"]


class EntryIn(Shape):
    """Vital signs a person measured or read off; at least one. Left out, `timestamp` is now."""

    patient_id: Id
    timestamp: Annotated[Line, Field(description="ISO 8601; without an offset the laboratory's zone is meant")] = ""
    heart_rate: Whole | None = Field(None, description="/min")
    blood_pressure_systolic: Whole | None = Field(None, description="mmHg")
    blood_pressure_diastolic: Whole | None = Field(None, description="mmHg")
    temperature: Number | None = None
    temperature_unit: Literal["F", "C"] = "F"
    respiratory_rate: Whole | None = Field(None, description="/min")
    oxygen_saturation: Number | None = Field(None, description="%")
    glucose: Number | None = None
    glucose_unit: Literal["mg/dL", "mmol/L"] = "mg/dL"
    weight: Number | None = None
    weight_unit: Literal["lbs", "kg"] = "lbs"
    consciousness: Consciousness | None = None
    supplemental_oxygen: bool | None = None
    notes: Text | None = None

    def as_given(self, now: datetime) -> dict[str, Any]:
        """As a device would have said it; a unit only beside its value."""
        given = self.model_dump(exclude={"patient_id"}, exclude_none=True)
        for name in ("temperature", "glucose", "weight"):
            if name not in given:
                del given[f"{name}_unit"]
        return given | {"timestamp": self.timestamp or now.isoformat()}


class HeldDecision(Shape):
    """Why a held reading is released or discarded."""

    reason: Annotated[Line, StringConstraints(min_length=3)]
