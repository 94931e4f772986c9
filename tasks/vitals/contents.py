"""What is in a file: a reading, a batch `{device_id, readings}`, an array of readings, or a reading a line. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from models.kernel.errors import InvalidError
from models.vitals import readings
from models.vitals.stores.file_batches import FileDevice, FileReading
from tasks.vitals.inbox import RefusedFileError

DEEPEST = 32
MOST_READINGS = 250_000
"""Of one file: all of them are in memory at once."""
LONGEST_READING = 64 * 1024
BOM = b"\xef\xbb\xbf"
_BRACKET = re.compile(rb"[\[\]{}]")


@dataclass(frozen=True, slots=True)
class Item:
    """What may be a reading: its JSON, whose it says it is, and its text as the file has it."""

    given: Any
    code: object
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a reading is neither stored nor held; field names and fixed words, never a value."""

    index: int
    field: str
    reason: str


@dataclass(slots=True)
class Parsed:
    """The readings of a file by their place in it, and what is wrong with the others."""

    total: int
    good: dict[int, FileReading] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def items(body: bytes) -> list[Item]:
    """The readings of a file, unread; RefusedFileError where it has none of the forms."""
    body = body.removeprefix(BOM)
    if not body.strip():
        raise RefusedFileError("empty")
    try:
        content, texts = readings.load_several(body)
    except InvalidError:
        found = _lines(body)
    else:
        if _is_deeper(content, DEEPEST):
            raise RefusedFileError("nested_deeper_than_32")
        found = list(_of(content, texts, body))
    if not found:
        raise RefusedFileError("no_readings")
    if len(found) > MOST_READINGS:
        raise RefusedFileError(f"more_than_{MOST_READINGS}_readings")
    return found


def codes(found: list[Item]) -> set[str]:
    """How the devices name themselves."""
    return {item.code for item in found if isinstance(item.code, str)}


def parse(found: list[Item], devices: Mapping[str, FileDevice]) -> Parsed:
    """Read each item as its device's, emptying the list on the way: memory holds each reading in one form."""
    parsed = Parsed(len(found))
    zones = {device.id: ZoneInfo(device.time_zone) for device in devices.values() if device.time_zone}
    found.reverse()
    while found:
        item, index = found.pop(), parsed.total - len(found) - 1
        try:
            device = _device(item, devices)
            reading = readings.parse(item.given, zone=zones.get(device.id), raw=item.text)
            if len(reading.raw) > LONGEST_READING:
                raise InvalidError("is larger than 64 KB", field="reading")
        except InvalidError as error:
            parsed.faults.append(Fault(index, error.field or "", str(error)))
        else:
            parsed.good[index] = FileReading(device.id, reading)
    return parsed


def _device(item: Item, devices: Mapping[str, FileDevice]) -> FileDevice:
    if not isinstance(item.given, dict):
        raise InvalidError("Invalid JSON format")
    if item.code is None:
        raise InvalidError("Missing required field: device_id", field="device_id")
    if item.given.get("device_id", item.code) != item.code:
        raise InvalidError("device_id differs from that of the batch", field="device_id")
    device = devices.get(item.code) if isinstance(item.code, str) else None
    if device is None:
        raise InvalidError("Device not found in system", field="device_id")
    if not device.is_active:
        raise InvalidError("Device not active", field="device_id")
    return device


def _of(content: Any, texts: list[str], body: bytes) -> Iterator[Item]:
    if isinstance(content, dict) and "readings" not in content:
        yield Item(content, content.get("device_id"), body.decode())
    elif isinstance(content, dict):
        if not isinstance(content["readings"], list):
            raise RefusedFileError("readings_is_no_list")
        for given, text in zip(content["readings"], texts, strict=True):
            yield Item(given, content.get("device_id"), text)
    elif isinstance(content, list):
        for given, text in zip(content, texts, strict=True):
            yield Item(given, given.get("device_id") if isinstance(given, dict) else None, text)
    else:
        raise RefusedFileError("not_an_object_or_array")


def _lines(body: bytes) -> list[Item]:
    """One reading a line; a line that is none is a fault of its own, unless all are."""
    found = []
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            given = readings.load(line)
        except InvalidError:
            given = None
        if _is_deeper(given, DEEPEST):
            given = None
        is_object = isinstance(given, dict)
        found.append(Item(given, given.get("device_id") if is_object else None, line.decode() if is_object else None))
    if not any(isinstance(item.given, dict) for item in found):
        raise RefusedFileError("nested_deeper_than_32" if _opens_deep(body) else "not_json")
    return found


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        inner: Any = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return False
    if not levels:
        return True
    return any(_is_deeper(one, levels - 1) for one in inner if isinstance(one, (dict, list)))


def _opens_deep(body: bytes) -> bool:
    """Whether text that cannot be read opens more brackets at its beginning than anything sensible."""
    depth = 0
    for bracket in _BRACKET.finditer(body, 0, 65_536):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False
