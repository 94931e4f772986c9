"""What the pages about vital signs say for the codes of the database."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from api.vitals.desk_answers import ValueAnswer
from models.kernel.clock import utc_now
from models.vitals.measures import BY_NAME
from models.vitals.rules import LOW_BATTERY_PERCENT
from models.vitals.schemas import DeviceSummary

UNITS = {"mm[Hg]": "mmHg", "Cel": "°C"}
"""UCUM codes people write in another way."""
TYPED_UNITS = {"F": "°F", "C": "°C"}
RULES = {
    "impossible_value": "Impossible value",
    "in_the_future": "In the future",
    "older_than_backfill_limit": "Too old",
    "systolic_not_over_diastolic": "Systolic not over diastolic",
}
DOORS = {"vitals": "one reading", "batch": "batch", "status": "status", "file": "file"}
CONSCIOUSNESS = {
    "alert": "Alert",
    "confused": "Newly confused",
    "voice": "Responds to voice",
    "pain": "Responds to pain",
    "unresponsive": "Unresponsive",
}
FIELDS = {
    "timestamp": "Time",
    "consciousness": "Consciousness",
    "supplemental_oxygen": "Supplemental oxygen",
    "signal_quality": "Signal quality",
    "battery_level": "Battery",
    "notes": "Notes",
}
USUAL_SILENCE = timedelta(hours=24)
"""A device that says nothing for so long is pointed out, where it has no time of its own."""


def label(name: str) -> str:
    """A field's name for people."""
    measure = BY_NAME.get(name)
    return measure.label if measure else FIELDS.get(name) or name.replace("_", " ").capitalize()


def unit(name: str) -> str:
    """A vital sign's canonical unit as people write it."""
    code = BY_NAME[name].canonical
    return UNITS.get(code, code)


def number(value: Decimal | float | None) -> str:
    """A value without the noughts a conversion leaves; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:f}" if isinstance(value, Decimal) else f"{value:.1f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_silent(device: DeviceSummary) -> bool:
    """Whether an active device has said nothing for longer than it may."""
    allowed = timedelta(minutes=device.silence_minutes) if device.silence_minutes else USUAL_SILENCE
    return device.is_active and _passed(device.contact_at) > allowed


def is_battery_low(device: DeviceSummary) -> bool:
    """Whether somebody should charge it."""
    return device.battery_level is not None and device.battery_level <= LOW_BATTERY_PERCENT


def _passed(moment: datetime | None) -> timedelta:
    return utc_now() - moment if moment is not None else timedelta.max


def told(values: Mapping[str, ValueAnswer]) -> list[tuple[str, str, str, str]]:
    """A reading as people write it: label, value, unit, and what was given where that is another unit."""
    found = []
    pressures = [values[name] for name in PRESSURES if name in values]
    if len(pressures) == len(PRESSURES):
        found.append(("Blood pressure", "/".join(number(one.value) for one in pressures), "mmHg", ""))
    for name, one in values.items():
        if len(pressures) == len(PRESSURES) and name in PRESSURES:
            continue
        is_other = one.given_unit is not None and one.given is not None and one.given != one.value
        given = f"{number(one.given)} {TYPED_UNITS.get(one.given_unit or '', one.given_unit)}" if is_other else ""
        found.append((label(name), number(one.value), unit(name), given))
    return found


PRESSURES = ("blood_pressure_systolic", "blood_pressure_diastolic")
