"""Units and parsing, by example; their properties are in test_rules.py."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from models.kernel.errors import InvalidError
from models.vitals import readings
from models.vitals.measures import BY_NAME
from models.vitals.readings import parse

pytestmark = pytest.mark.unit
MOMENT = {"timestamp": "2025-11-17T10:30:00Z"}


@pytest.mark.parametrize(
    ("name", "value", "unit", "canonical"),
    [
        ("temperature", "98.6", "F", "37.00"),
        ("temperature", "37.25", "C", "37.25"),
        ("weight", "150.0", "lbs", "68.04"),
        ("weight", "68.0", "kg", "68.0"),
        ("glucose", "5.5", "mmol/L", "99.09"),
        ("glucose", "95.0", "mg/dL", "95.0"),
        ("heart_rate", "75", None, "75"),
    ],
)
def test_units_by_example(name: str, value: str, unit: str | None, canonical: str) -> None:
    assert str(BY_NAME[name].to_canonical(Decimal(value), unit)) == canonical


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"heart_rate": 75}', "timestamp"),
        (b'{"timestamp": 5, "heart_rate": 75}', "timestamp"),
        (b'{"timestamp": "2025-11-17", "heart_rate": 75}', "timestamp"),
        (b'{"timestamp": "2025-11-17T10:30:00", "heart_rate": 75}', "timestamp"),
        (b'{"timestamp": "0001-01-01T00:00:00+14:00", "heart_rate": 75}', "timestamp"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": "75"}', "heart_rate"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": true}', "heart_rate"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 75.5}', "heart_rate"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 1e999}', "heart_rate"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 99999999999999999999}', "heart_rate"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "temperature": 98.60000000000000001}', "temperature"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "temperature": 98.6, "temperature_unit": "K"}', "temperature_unit"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "weight": 150, "weight_unit": ["kg"]}', "weight_unit"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 75, "battery_level": 101}', "battery_level"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 75, "notes": "a\\u0000b"}', "notes"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 75, "notes": "\\ud800"}', "notes"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 75, "consciousness": "dreaming"}', "consciousness"),
        (b'{"timestamp": "2025-11-17T10:30:00Z", "notes": "nothing measured"}', None),
    ],
)
def test_what_is_not_acceptable_names_its_field(body: bytes, field: str | None) -> None:
    with pytest.raises(InvalidError) as raised:
        parse(readings.load(body), zone=None)
    assert raised.value.field == field


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"heart_rate": NaN}', b"[" * 100_000, b'{"a": Infinity}'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidError, match="Invalid JSON"):
        readings.load(body)


def test_a_time_without_offset_is_the_devices() -> None:
    given = {"timestamp": "2025-07-01T12:00:00", "heart_rate": 75}
    assert parse(given, zone=ZoneInfo("Africa/Nairobi")).recorded_at.isoformat() == "2025-07-01T09:00:00+00:00"


def test_the_same_numbers_written_otherwise_say_the_same() -> None:
    one = parse(readings.load(b'{"timestamp": "2025-11-17T10:30:00Z", "temperature": 98.6}'), zone=None)
    same = parse(readings.load(b'{"temperature": 98.60, "timestamp": "2025-11-17T10:30:00Z"}'), zone=None)
    other = parse(readings.load(b'{"temperature": 98.7, "timestamp": "2025-11-17T10:30:00Z"}'), zone=None)
    assert one.content == same.content != other.content
    assert str(same.values["temperature"].given) == "98.60"


@pytest.mark.parametrize(("written", "meant"), [("75.0", "75"), ("7.5e1", "75"), ("750E-1", "75"), ("-0.0", "0")])
def test_a_whole_number_may_be_written_with_a_point(written: str, meant: str) -> None:
    given = readings.load(f'{{"timestamp": "2025-11-17T10:30:00Z", "respiratory_rate": {written}}}'.encode())
    assert str(parse(given, zone=None).values["respiratory_rate"].canonical) == meant


@pytest.mark.parametrize("field", ["temperature", "weight", "glucose"])
def test_the_greatest_number_that_is_read_can_be_converted(field: str) -> None:
    unit = {"temperature": "F", "weight": "lbs", "glucose": "mmol/L"}[field]
    body = f'{{"timestamp": "2025-11-17T10:30:00Z", "{field}": 999999999999999e15, "{field}_unit": "{unit}"}}'
    measured = parse(readings.load(body.encode()), zone=None).values[field]
    assert not BY_NAME[field].is_possible(measured.canonical)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [readings.DEEPEST, 480, 500, 900])
def test_a_field_nobody_knows_may_not_be_nested_without_end(opening: str, closing: str, depth: int) -> None:
    def body(levels: int) -> bytes:
        deep = opening * levels + "1" + closing * levels
        return f'{{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 75, "x": {deep}}}'.encode()

    assert parse(readings.load(body(readings.DEEPEST - 1)), zone=None).extra == ("x",)
    with pytest.raises(InvalidError, match="nested deeper"):
        parse(readings.load(body(depth)), zone=None)


def test_unknown_fields_are_named_and_kept() -> None:
    reading = parse(
        readings.load(b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 75, "mood": {"x": 1.5}}'), zone=None
    )
    assert reading.extra == ("mood",)
    assert '"mood"' in reading.raw


def test_unknown_numbers_of_many_digits_are_not_taken_for_the_same() -> None:
    one, other = (
        parse(
            readings.load(b'{"timestamp": "2025-11-17T10:30:00Z", "heart_rate": 75, "x": 1.%s%d}' % (b"0" * 40, n)),
            zone=None,
        )
        for n in (1, 2)
    )
    assert one.content != other.content
