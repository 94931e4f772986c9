"""Two people at the same form: what the other one changed, field by field, beside what was typed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.instruments.words import told
from models.instruments.stores.meanwhile import Meanwhile

LABELS = {
    "api_endpoint": "Endpoint",
    "auth_header": "Header the key is sent in",
    "calibration_date": "Calibrated on",
    "critical_skips_question": "A critical level does not wait for the patient",
    "department_id": "Department",
    "email": "E-mail address",
    "equipment": "Instrument",
    "is_active": "It can be ordered",
    "is_idempotent": "It drops doubled requests",
    "is_on": "It alarms",
    "ladder": "Steps",
    "loinc": "LOINC",
    "panic_high": "Critical above",
    "panic_low": "Critical below",
    "plausible_high": "Plausible to",
    "plausible_low": "Plausible from",
    "question_minutes": "Minutes the patient has to answer",
    "ranges": "Reference ranges",
    "result_type": "Kind of result",
    "specimen_type": "Specimen",
    "supports_auto_fetch": "Fetch results by themselves",
    "timeout_seconds": "Time-out in seconds",
    "verification_levels": "Levels of verification",
}


@dataclass(frozen=True, slots=True)
class ChangedField:
    """One field: when the form was opened, now, and as it was typed. A clash is what both of them changed."""

    label: str
    was: str
    now: str
    yours: str
    is_clash: bool


@dataclass(frozen=True, slots=True)
class MeanwhileView:
    """What the page says of it. `merged` are the fields that only the other one changed, as they are now."""

    who: str
    at: datetime
    fields: list[ChangedField]
    merged: dict[str, Any]


def meanwhile_view(
    found: Meanwhile | None, typed: Mapping[str, Any], names: Mapping[str, Mapping[str, str]] | None = None
) -> MeanwhileView | None:
    """The change beside `typed` (plain values by field); `names` has words for the codes of a field."""
    if found is None:
        return None
    fields, merged = [], {}
    for name, (was, now) in found.changes.items():
        words = (names or {}).get(name, {})
        before, after, mine = (words.get(str(value), told(value)) for value in (was, now, typed.get(name)))
        if mine == before:
            merged[name] = now
        label = LABELS.get(name) or name.replace("_", " ").capitalize()
        fields.append(ChangedField(label, before, after, mine, is_clash=mine not in (before, after)))
    return MeanwhileView(", ".join(found.who), found.at, fields, merged)
