"""Codes in words, as the pages say them: states, flags, rules, sources, and the sentences of a timeline."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from models.instruments.catalogue_inputs import RangeInput
from models.instruments.rules import WORDS
from models.instruments.stores.previous import Previous
from models.kernel.clock import utc_now

MINUS = "\N{MINUS SIGN}"
STATES = {str(status): word for status, word in WORDS.items()}
SHORT_STATES = STATES | {"A": "to verify", "U": "unknown"}
"""Where there is little room: what the state asks of somebody."""
FLAGS = {
    "low": ("↓", "Low"),
    "high": ("↑", "High"),
    "critical_low": ("↓↓", "Critical low"),
    "critical_high": ("↑↑", "Critical high"),
    "normal": ("", "Normal"),
}
"""A sign and a word, so that no flag is told by its colour alone."""
RULES = {
    "unreadable": "The answer cannot be read",
    "id": "Another result than the one asked for",
    "patient": "Another patient",
    "test": "Another test",
    "sample": "Another sample",
    "request": "Another run of the test",
    "value": "The value cannot be read",
    "plausible": "The value is not plausible",
    "unit": "Another unit",
    "quality_control": "Quality control not passed",
    "time": "An impossible time",
    "state": "Came too late",
    "unmatched": "Belongs to no test that was ordered",
}
SOURCES = {"instrument": "fetched from the instrument", "push": "pushed by the instrument", "manual": "entered by hand"}
HELD_STATES = {
    "open": "waiting for a decision",
    "released": "let through as it is",
    "corrected": "corrected",
    "refetched": "fetched again",
    "discarded": "discarded",
}
DELIVERY_STATES = {
    "due": "waiting to be sent",
    "leased": "being sent",
    "done": "taken by the instrument",
    "unknown": "sent, no answer seen",
    "dead": "given up",
    "skipped": "not sent any more",
}
DEEDS = {
    "assignment.order": "Ordered",
    "assignment.send": "Handed to an instrument",
    "assignment.queue": "Queued at the instrument",
    "assignment.start": "Run started",
    "assignment.complete": "Result let through",
    "assignment.hold": "Result held",
    "assignment.fail": "Failed",
    "assignment.unknown": "Sent, but no answer came",
    "assignment.ignore": "Answer ignored: it says nothing new",
    "assignment.cancel": "Cancelled",
    "assignment.enter": "Result entered by hand",
    "assignment.verify": "Verified",
    "assignment.release": "Released",
    "assignment.correct": "Corrected",
    "assignment.retest": "Run ordered again",
    "assignment.fetch": "Result asked for",
    "assignment.comment": "Comment",
}
STATUS_WORDS = {"active": "active", "maintenance": "in maintenance", "inactive": "inactive"}
SEXES = {"female": "female", "male": "male", "other": "other", "unknown": "sex unknown"}


def deed(action: str) -> str:
    """An audited action in words; one that has none of its own is spelt out from its name."""
    return DEEDS.get(action) or action.partition(".")[2].replace("_", " ").capitalize() or action


def status_change(changes: Mapping[str, Any]) -> tuple[str, str] | None:
    """The states an audit row moved between, in words."""
    moved = changes.get("status")
    if not (isinstance(moved, list) and len(moved) == 2):
        return None
    return STATES.get(str(moved[0]), str(moved[0])), STATES.get(str(moved[1]), str(moved[1]))


def duration(seconds: Decimal | float | None) -> str:
    """A stretch of time as people say it: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds is None:
        return "–"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def age(moment: datetime | None) -> str:
    """How long ago something was, in short."""
    if moment is None:
        return "–"
    passed = utc_now() - moment
    return "now" if passed < timedelta(minutes=1) else duration(passed.total_seconds())


def plain(number: Decimal | None) -> str:
    """A number without an exponent or trailing noughts that the database added; nothing for None."""
    if number is None:
        return ""
    return format(number, "f")


def span(low: Decimal | None, high: Decimal | None) -> str:
    """A range as laboratories print it: 12.0–17.5, ≥ 12.0, ≤ 17.5; a dash where there is none."""
    if low is not None and high is not None:
        return f"{plain(low)}–{plain(high)}"
    if low is not None:
        return f"≥ {plain(low)}"
    return f"≤ {plain(high)}" if high is not None else "–"


def beyond(low: Decimal | None, high: Decimal | None) -> str:
    """What lies outside limits: < 7.0, > 20.0; a dash where there are none."""
    parts = [f"< {plain(low)}" if low is not None else "", f"> {plain(high)}" if high is not None else ""]
    return ", ".join(part for part in parts if part) or "–"


def years(days: int | None) -> str:
    """An age limit: whole years where it is one (of 365 or 365.25 days), else days."""
    if days is None:
        return ""
    whole = round(days / 365.25)
    is_whole = whole and (days == whole * 365 or abs(whole * 365.25 - days) < 1)
    return f"{whole} y" if is_whole else f"{days} d"


def utc(moment: datetime) -> str:
    """The exact moment, for those who compare clocks."""
    return moment.astimezone(UTC).strftime("%d %b %Y %H:%M:%S UTC")


def age_in_words(days: int) -> str:
    """A person's age: days for the newborn, weeks and months for the small, then years."""
    if days < 28:
        return f"{days} days"
    if days < 90:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{int(days / 30.44)} months"
    return f"{int(days / 365.25)} years"


def delta(before: Previous) -> str:
    """The change since an earlier result, always with its sign: +0.6 (+4.8 %); nothing where there is none."""
    if before.delta is None:
        return ""
    share = "" if before.delta_percent is None else f" ({_signed(before.delta_percent)} %)"
    return f"{_signed(before.delta)} {before.unit}{share}"


def _signed(number: Decimal) -> str:
    return "±0" if number == 0 else f"{'+' if number > 0 else MINUS}{plain(abs(number))}"


def range_for(one: RangeInput) -> str:
    """Whom a reference range is for; empty when it is for everybody."""
    ages = ""
    if one.age_from_days and one.age_to_days is None:
        ages = f"from {years(one.age_from_days)}"
    elif one.age_to_days is not None:
        begins = f"{years(one.age_from_days)} to" if one.age_from_days else "under"
        ages = f"{begins} {years(one.age_to_days)}"
    return ", ".join(part for part in (one.sex or "", ages) if part)


def by_use(ranges: Sequence[RangeInput]) -> tuple[list[RangeInput], list[RangeInput]]:
    """Those that say what is normal, and those that have critical limits of their own."""
    normal = [one for one in ranges if one.low is not None or one.high is not None]
    return normal, [one for one in ranges if one.panic_low is not None or one.panic_high is not None]


def told(value: object) -> str:
    """A value of a preview: what it is, or how many there are of what is long."""
    if value in (None, "", []):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_range_told(one) if isinstance(one, dict) else str(one) for one in value)
    return str(value)


def _range_told(one: Mapping[str, Any]) -> str:
    """A reference range as a file has it."""
    ends = f"{one.get('low') or ''}–{one.get('high') or ''}"
    panic = f"critical {one.get('panic_low') or ''}–{one.get('panic_high') or ''}"
    has_panic, has_range = bool(one.get("panic_low") or one.get("panic_high")), ends != "–"
    ends = f"{ends}, {panic}" if has_panic and has_range else panic if has_panic else ends
    ages = one.get("age_to_days") or one.get("age_from_days")
    about = [
        one.get("sex") or "",
        f"days {one.get('age_from_days') or 0}–{one.get('age_to_days') or ''}" if ages else "",
    ]
    said = " ".join(part for part in about if part)
    return f"{ends} ({said})" if said else ends
