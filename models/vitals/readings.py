"""A reading as a device or a person gives it: parsed and named field by field, nothing guessed. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import to_json

from models.kernel.errors import InvalidError
from models.vitals.measures import BY_NAME, MEASURES, MOST_DIGITS, Measure
from models.vitals.texts import decode_several

LONGEST_NOTES = 2000
DEEPEST = 32
_EXACT = Context(prec=10_000)
"""A field nobody knows may have more digits than decimals are rounded to by default."""
CONSCIOUSNESS = ("alert", "confused", "voice", "pain", "unresponsive")
"""ACVPU (Royal College of Physicians, NEWS2, 2017)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One value: as given with its unit, and in the measure's canonical unit."""

    given: Decimal
    unit: str | None
    canonical: Decimal


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured at one moment. `content` is equal for readings that say the same."""

    recorded_at: datetime
    values: Mapping[str, Measured]
    content: bytes
    raw: str
    notes: str | None = None
    signal_quality: int | None = None
    battery_level: int | None = None
    consciousness: str | None = None
    supplemental_oxygen: bool | None = None
    extra: tuple[str, ...] = field(default=())
    """Names of fields nobody knows: kept in the raw."""


def load(body: bytes) -> Any:
    """JSON with exact decimals; InvalidError for what is not JSON (RFC 8259: NaN and Infinity are none)."""
    try:
        return _DECODER.decode(body.decode())
    except (ValueError, RecursionError, InvalidOperation):
        raise InvalidError("Invalid JSON format") from None


def load_several(body: bytes) -> tuple[Any, list[str]]:
    """As `load`, and the text of each reading of an array, or of the member `readings`, as it was received."""
    try:
        return decode_several(_DECODER, body.decode())
    except (ValueError, RecursionError, InvalidOperation):
        raise InvalidError("Invalid JSON format") from None


def parse(given: Mapping[str, Any], *, zone: ZoneInfo | None, raw: str | None = None) -> Reading:
    """The reading in `given`; InvalidError names the field at fault.

    `zone` is the device's, for a timestamp without offset; without one that is refused. `raw` is the text as received.
    """
    values = {name: measured for name in BY_NAME if (measured := _measured(given, BY_NAME[name])) is not None}
    recorded_at = _moment(given.get("timestamp"), zone)
    if not values:
        raise InvalidError("No vital sign measurements provided")
    canonical = _in_one_spelling(given)
    return Reading(
        recorded_at=recorded_at,
        values=values,
        content=hashlib.sha256(canonical).digest(),
        raw=raw if raw is not None else canonical.decode(),
        notes=_notes(given.get("notes")),
        signal_quality=_percent(given, "signal_quality"),
        battery_level=_percent(given, "battery_level"),
        consciousness=_choice(given, "consciousness"),
        supplemental_oxygen=_flag(given, "supplemental_oxygen"),
        extra=tuple(sorted(set(given) - KNOWN)),
    )


KNOWN = frozenset(
    {"device_id", "timestamp", "notes", "signal_quality", "battery_level", "consciousness", "supplemental_oxygen"}
    | set(BY_NAME)
    | {measure.unit_field for measure in MEASURES if measure.unit_field}
)


def _measured(given: Mapping[str, Any], measure: Measure) -> Measured | None:
    value = given.get(measure.name)
    if value is None:
        return None
    unit = given.get(measure.unit_field) if measure.unit_field else None
    if type(value) is int and 0 <= value < 1000 and (unit is None or type(unit) is str):
        return _again(measure.name, value, None, unit)
    if type(value) is Decimal and (unit is None or type(unit) is str):
        return _again(measure.name, None, str(value), unit)
    return _checked(measure, value, unit)


@lru_cache(maxsize=4096)
def _again(name: str, whole: int | None, spelt: str | None, unit: str | None) -> Measured:
    """The same few values come all the time: each is converted, and kept in memory, once. 98.6 and 98.60 are two."""
    return _checked(BY_NAME[name], whole if spelt is None else Decimal(spelt), unit)


def _checked(measure: Measure, value: Any, unit: Any) -> Measured:
    number = _number(value, measure)
    if unit is not None and (not isinstance(unit, str) or measure.units is None or unit not in measure.units):
        units = " or ".join(measure.units or ())
        raise InvalidError(f"{measure.unit_field} must be {units}", field=measure.unit_field)
    unit = unit or measure.usual or None
    return Measured(number, unit, measure.to_canonical(number, unit))


def _number(value: Any, measure: Measure) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise InvalidError(f"{measure.name} must be a number", field=measure.name)
    if isinstance(value, int):
        if not -(10**MOST_DIGITS) < value < 10**MOST_DIGITS:
            raise InvalidError(f"{measure.name} is too large", field=measure.name)
        return Decimal(value)
    _, digits, exponent = value.as_tuple()
    if len(digits) > MOST_DIGITS or not isinstance(exponent, int) or abs(exponent) > MOST_DIGITS:
        raise InvalidError(f"{measure.name} has more than {MOST_DIGITS} digits", field=measure.name)
    if measure.is_whole and value != value.to_integral_value():
        raise InvalidError(f"{measure.name} must be a whole number", field=measure.name)
    return Decimal(int(value)) if measure.is_whole else value


def _moment(value: Any, zone: ZoneInfo | None) -> datetime:
    if value is None:
        raise InvalidError("Missing required field: timestamp", field="timestamp")
    if not isinstance(value, str) or len(value) > 40 or len(value) < 16:
        raise InvalidError("timestamp must be an ISO 8601 date and time", field="timestamp")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidError("timestamp must be an ISO 8601 date and time", field="timestamp") from None
    if moment.tzinfo is None:
        if zone is None:
            raise InvalidError("timestamp needs an offset: the device has no time zone", field="timestamp")
        moment = moment.replace(tzinfo=zone)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidError("timestamp must be an ISO 8601 date and time", field="timestamp") from None


def _notes(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidError("notes must be text", field="notes")
    if len(value) > LONGEST_NOTES:
        raise InvalidError(f"notes must have at most {LONGEST_NOTES} characters", field="notes")
    if "\0" in value or not _is_text(value):
        raise InvalidError("notes contains a character that is not allowed", field="notes")
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _percent(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not 0 <= value <= 100:
        raise InvalidError(f"{name} must be a number from 0 to 100", field=name)
    return round(value)


def _choice(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and value not in CONSCIOUSNESS:
        raise InvalidError(f"{name} must be one of {', '.join(CONSCIOUSNESS)}", field=name)
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool | None:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidError(f"{name} must be true or false", field=name)
    return value


def _in_one_spelling(given: Mapping[str, Any]) -> bytes:
    """The same for readings that say the same."""
    plain = _plain(given)
    try:
        return to_json(plain)
    except ValueError:  # half of a surrogate pair, which UTF-8 has not
        return json.dumps(plain, separators=(",", ":")).encode()


def _plain(value: Any, levels: int = DEEPEST) -> Any:
    """In the order of names, with numbers as text, so that 98.6 and 98.60 say the same and nothing is rounded."""
    kind = type(value)
    if not levels and kind in (dict, list):
        raise InvalidError(f"The reading is nested deeper than {DEEPEST} levels")
    if kind is dict:
        return {key: _plain(value[key], levels - 1) for key in sorted(value) if key != "device_id"}
    if kind is int:
        return str(value)
    if kind is Decimal:
        return f"{value.normalize(_EXACT):f}" if abs(value.adjusted()) < 100 else str(value)
    if kind is list:
        return [_plain(item, levels - 1) for item in value]
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
