"""A ward's monitor with three days of readings behind it: charts to look at, one gap, a held reading, an open alert."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from math import sin
from typing import Any

from sqlalchemy.orm import Session

from models.alerts.schemas import ContactIn
from models.alerts.stores.setup import add_contact
from models.kernel.audit import SYSTEM
from models.kernel.clock import utc_now
from models.people.stores.patients import find_by_code
from models.vitals.readings import parse
from models.vitals.schemas import DeviceIn, DeviceKeyIn, WearerIn
from models.vitals.stores.devices import assign_patient, create_device
from models.vitals.stores.file_batches import FileReading, store_file_readings
from models.vitals.stores.keys import issue_key

DEVICE = DeviceIn(device_id="WARD-7", name="Ward 7, bed 2", device_type="Patient Monitor", silence_minutes=180)
EMERGENCY = "desk@emergency.example"
DAYS, EVERY_MINUTES = 3, 20
GAP_HOURS = range(30, 37)
"""Hours ago in which the monitor was off."""


def seed_vitals(session: Session, tenant_id: int, *, patient_code: str, nurse: str) -> None:
    """The device on its patient, its readings up to now, and whom the ladder tells beside doctors."""
    patient = find_by_code(session, tenant_id, patient_code)
    if patient is None:
        raise LookupError(patient_code)
    for contact in (("nurse", "Ward 7", nurse), ("emergency", "Emergency desk", EMERGENCY)):
        given = dict(zip(("role", "name", "address"), contact, strict=True))
        add_contact(session, tenant_id, SYSTEM, ContactIn.model_validate(given))
    device = create_device(session, tenant_id, SYSTEM, DEVICE)
    now = utc_now().replace(microsecond=0)
    since = now - timedelta(days=DAYS, hours=1)
    assign_patient(session, tenant_id, SYSTEM, device.id, WearerIn(patient_id=patient.id, since=since))
    issue_key(session, tenant_id, SYSTEM, device.id, DeviceKeyIn(name="Ward 7"))
    readings = [FileReading(device.id, parse(given, zone=None)) for given in _readings(now)]
    store_file_readings(session, tenant_id, now, readings)


def _readings(now: datetime) -> Iterator[dict[str, Any]]:
    minutes = range(DAYS * 24 * 60, 0, -EVERY_MINUTES)
    for number, ago in enumerate(minutes):
        if ago // 60 in GAP_HOURS:
            continue
        wave, ripple = sin(number / 11), sin(number * 2.3)
        yield {
            "timestamp": (now - timedelta(minutes=ago)).isoformat(),
            "heart_rate": round(78 + 8 * wave + 4 * ripple),
            "blood_pressure_systolic": round(124 + 9 * wave + 3 * ripple),
            "blood_pressure_diastolic": round(79 + 5 * wave + 2 * ripple),
            "temperature": Decimal(f"{36.8 + 0.3 * wave + 0.1 * ripple:.1f}"),
            "temperature_unit": "C",
            "respiratory_rate": round(15 + 2 * wave),
            "oxygen_saturation": round(97 + ripple),
            "battery_level": max(100 - number // 3, 30),
        }
    yield {"timestamp": (now - timedelta(minutes=4)).isoformat(), "heart_rate": 79, "oxygen_saturation": 7}
    yield {"timestamp": (now - timedelta(minutes=2)).isoformat(), "heart_rate": 117, "oxygen_saturation": 96}
