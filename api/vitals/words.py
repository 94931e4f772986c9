"""What the pages about vital signs say for the codes of the database."""

from datetime import datetime, timedelta
from decimal import Decimal

from models.kernel.clock import utc_now
from models.vitals.measures import BY_NAME, MEASURES
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
LOW_BATTERY = 20


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
    return device.battery_level is not None and device.battery_level <= LOW_BATTERY


def _passed(moment: datetime | None) -> timedelta:
    return utc_now() - moment if moment is not None else timedelta.max


NAMES = tuple(measure.name for measure in MEASURES)
