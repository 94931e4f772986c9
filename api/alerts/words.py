"""What the pages call the kinds, ends and events of alerts."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from models.alerts.rules import BY_KIND

UNITS = {"/min": "per minute", "mm[Hg]": "mmHg", "Cel": "°C", "{points}": "points", "{score}": ""}
ENDINGS = {"recovered": "Recovered", "closed": "Closed by a person", "merged": "Went into another alert"}
ANSWERS = {"yes": "Yes, tell them", "no": "No, I am fine", "help": "I need help now"}
EVENTS = {
    "opened": "Opened by a reading",
    "worsened": "Became worse",
    "recovered": "The value is back within its limits",
    "asked": "The patient was asked by mail",
    "not_asked": "The patient was not asked",
    "answered": "The patient answered",
    "unanswered": "The patient did not answer in time",
    "told": "Told",
    "acknowledged": "Acknowledged",
    "closed": "Closed",
}
REASONS = {
    "critical": "the level is critical, and the rule here is not to wait",
    "no address": "no e-mail address is known",
}


def kind(name: str) -> str:
    """A kind as people call it."""
    return BY_KIND[name].label if name in BY_KIND else name


def amount(value: Decimal, unit: str) -> str:
    """A value with its unit."""
    return f"{value.normalize():f} {UNITS.get(unit, unit)}".strip()


def told(detail: Mapping[str, Any]) -> str:
    """Who was told by a step, and for which of its roles there was nobody."""
    people = [f"{one['name']} ({one['role']}, {one['address']})" for one in detail.get("told", [])]
    nobody = [f"nobody for {role}" for role in detail.get("nobody_for", [])]
    return ", ".join([*people, *nobody])
