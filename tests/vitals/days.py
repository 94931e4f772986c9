"""Days of readings for the tests: rows as devices leave them, put in at once."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from models.vitals.day_rules import DeviceDay, window
from models.vitals.stores.day import load_days
from models.vitals.tables import HeldReading
from tests.vitals.conftest import Clinic

LAGOS = ZoneInfo("Africa/Lagos")
COLUMNS = {
    **dict.fromkeys(("heart_rate", "blood_pressure_systolic", "respiratory_rate", "weight"), "numeric"),
    **dict.fromkeys(("temperature", "oxygen_saturation", "glucose"), "numeric"),
    **dict.fromkeys(("signal_quality", "battery_level"), "bigint"),
}
INSERT = text(
    f"INSERT INTO vital_sign (tenant_id, device_id, patient_id, received_at, recorded_at, data_source, raw, content, "
    f"{', '.join(COLUMNS)}) SELECT :tenant_id, :device_id, :patient_id, r.at, r.at, 'device', '', "
    f"sha256(convert_to(gen_random_uuid()::text, 'UTF8')), {', '.join(f'r.{name}' for name in COLUMNS)} "
    f"FROM json_to_recordset(CAST(:rows AS json)) AS r(at timestamptz, "
    f"{', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})"
)


def yesterday() -> date:
    """The day the flow looks at when nobody names one, in Lagos."""
    return utc_now().astimezone(LAGOS).date() - timedelta(days=1)


@dataclass
class Wrist:
    """A device on a patient; `put` days are counted back from yesterday, times are hours of that day in Lagos."""

    clinic: Clinic
    patient_id: int
    device_id: int

    def at(self, hours: float, *, back: int = 0) -> datetime:
        midnight = datetime.combine(yesterday() - timedelta(days=back), datetime.min.time(), LAGOS)
        return midnight + timedelta(hours=hours)

    def put(self, hours: Iterable[float], *, back: int = 0, patient_id: int = 0, **values: Any) -> None:
        """Readings at these hours; a value may be a list, one for each."""
        moments = list(hours)
        rows: list[Mapping[str, Any]] = [
            {name: given[number] if isinstance(given, list) else given for name, given in values.items()}
            | {"at": self.at(hour, back=back).isoformat()}
            for number, hour in enumerate(moments)
        ]
        with tenant_session(self.clinic.tenant_id) as session:
            session.execute(
                INSERT,
                {
                    "tenant_id": self.clinic.tenant_id,
                    "device_id": self.device_id,
                    "patient_id": patient_id or self.patient_id,
                    "rows": json.dumps(rows),
                },
            )

    def put_usual(self, days: int = 6, *, every_hours: float = 1.0, **values: Any) -> None:
        """The days before yesterday, all alike: a reading each hour."""
        for back in range(1, days + 1):
            self.put([number * every_hours for number in range(int(24 / every_hours))], back=back, **values)

    def hold(self, hours: Iterable[float], *, settlement: str | None = None, **changed: Any) -> None:
        """Held readings of yesterday."""
        with tenant_session(self.clinic.tenant_id) as session:
            for number, hour in enumerate(hours):
                row: dict[str, Any] = {
                    "recorded_at": self.at(hour),
                    "received_at": self.at(hour),
                    "findings": [{"field": "heart_rate", "rule": "impossible_value"}],
                    **changed,
                }
                content = f"{self.device_id} {hour} {number} {settlement}".encode()
                session.add(
                    HeldReading(
                        tenant_id=self.clinic.tenant_id,
                        device_id=self.device_id,
                        content=content,
                        raw="{}",
                        settlement=settlement,
                        **row,
                    )
                )

    def figures(self) -> DeviceDay:
        """What the store says of it."""
        return loaded(self.clinic.tenant_id)[self.device_id]


def loaded(tenant_id: int) -> dict[int, DeviceDay]:
    """Every device of a tenant with something on yesterday."""
    found: dict[int, DeviceDay] = {}
    last = 0
    while True:
        with tenant_session(tenant_id) as session:
            days, last = load_days(session, tenant_id, window(yesterday(), "Africa/Lagos"), after=last)
        found |= {day.device_id: day for day in days}
        if not last:
            return found


def wear(clinic: Clinic, code: str = "DEV001", patient: str = "P123", **more: Any) -> Wrist:
    """A device that has been on a patient for a year."""
    patient_id = clinic.patient(patient)
    return Wrist(clinic, patient_id, clinic.device(code, patient_id, **more))
