"""What the pages call the kinds, ends and events of alerts."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from models.alerts.rules import BY_KIND, Threshold

UNITS = {"/min": "per minute", "mm[Hg]": "mmHg", "Cel": "°C", "{points}": "points", "{score}": ""}
ROLES = {"doctor": "Doctor", "nurse": "Nurse", "emergency": "Emergency"}
"""Whom a step tells; emergency is somebody outside, who is told whom it is about."""
TRIALS = {
    "due": "test mail on its way",
    "leased": "test mail on its way",
    "done": "test mail accepted",
    "unknown": "test mail: outcome unknown",
    "dead": "test mail refused",
    "skipped": "test mail given up",
}
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


def number(value: Decimal) -> str:
    """A value without the noughts that say nothing."""
    return f"{value.normalize():f}"


def unit(threshold: Threshold) -> str:
    """The unit of a kind's limits as people write it."""
    return UNITS.get(threshold.unit, threshold.unit)


def limit(threshold: Threshold, value: Decimal | None) -> str:
    """Beyond what it alarms: "over 110"; a dash where there is no such level."""
    if value is None:
        return "–"
    if threshold.measure == "consciousness":
        return "not alert"
    return f"{'over' if threshold.is_high else 'under'} {number(value)}"


def over_again(threshold: Threshold) -> str:
    """At what value an open alert ends."""
    if threshold.measure == "consciousness":
        return "alert"
    base = threshold.warning if threshold.warning is not None else threshold.critical
    if base is None:
        return "–"
    return number(base - threshold.margin if threshold.is_high else base + threshold.margin)


def after(minutes: int) -> str:
    """When a step is due."""
    return "At once" if minutes == 0 else f"After {minutes} {'minute' if minutes == 1 else 'minutes'}"


def steps(ladder: Sequence[Mapping[str, Any]]) -> str:
    """A ladder in one line."""
    return "; ".join(f"{one['after_minutes']} min {', '.join(one['roles'])}" for one in ladder)


def told(detail: Mapping[str, Any]) -> str:
    """Who was told by a step, and for which of its roles there was nobody."""
    people = [f"{one['name']} ({one['role']}, {one['address']})" for one in detail.get("told", [])]
    nobody = [f"nobody for {role}" for role in detail.get("nobody_for", [])]
    return ", ".join([*people, *nobody])
