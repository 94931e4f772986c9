"""Requests at the devices' door that are nearly right, and some that are nothing of the kind."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from models.vitals.measures import MEASURES
from models.vitals.readings import CONSCIOUSNESS
from tests.vitals.raw_http import Header

Text = st.SearchStrategy[str]
Body = st.SearchStrategy[bytes]
NOW = datetime.now(UTC)

FIELDS = [
    *("device_id", "timestamp", "notes", "signal_quality", "battery_level", "consciousness", "supplemental_oxygen"),
    *(measure.name for measure in MEASURES),
    *(measure.unit_field for measure in MEASURES if measure.unit_field),
    *("mood", "readings", "patient_id", "tenant_id", "id"),
]


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any], *, out_of: int = 5) -> st.SearchStrategy[Any]:
    """One time `out_of` so many the odd one. (`one_of` makes one list of the alternatives of its alternatives.)"""
    return st.integers(1, out_of).flatmap(lambda drawn: odd if drawn == 1 else usual)


def _nested(depth: int) -> list[str]:
    return ["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth]


NUMBERS = [
    *("0", "-0", "-0.0", "0.0", "75.0", "75.50", "7.5e1", "7.5E+1", "750e-1", "1e2", "1E+15", "1e-15", "1e15", "1e16"),
    *("999999999999999e15", "-999999999999999e15", "999999999999999e-15", "123456789012345.6", "1e400", "1e-400"),
    *("1e-999999", "1e999999", "9" * 15, "9" * 16, "9" * 400, "-1", "2147483648"),
    *("9223372036854775807", "9223372036854775808", "0." + "0" * 40 + "1", "1." + "0" * 12_000 + "1", "99.5", "100.4"),
]
NO_JSON = [
    "9" * 5000,
    "1e999999999999999999999",
    "NaN",
    "Infinity",
    "-Infinity",
    "01",
    "+1",
    ".5",
    "1.",
    "0x10",
    "1e",
    "tru",
    "'x'",
    "",
    '"\\x"',
    '"',
    "\0",
    "{",
    "]",
]
STRINGS = [
    *(
        '""',
        '"75"',
        '"\\u0000"',
        '"a\\u0000b"',
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"\\ud83d\\ude00"',
        '"é"',
        '"\\u202e"',
    ),
    *(
        '"' + "x" * 2000 + '"',
        '"' + "x" * 2001 + '"',
        '"' + "\\u0000" * 500 + '"',
        '"DEV001\\u0000"',
        '"dev001"',
        '"F"',
    ),
    *('"C"', '"f"', '"K"', '"lbs"', '"kg"', '"mmol/L"', '"mg/dL"', '"alert"', '"Alert"', '"\'; DROP TABLE device; --"'),
]
DEEP = [text for depth in (2, 33, 150, 300, 480, 700, 990, 5000) for text in _nested(depth)]
SHAPES = ["null", "true", "false", "[]", "{}", "[75]", '{"value":75}', "[[]]", "[null]", '[{"heart_rate":75}]']
MOMENTS = [
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z"),
    *(
        "2025-W47-1T10:30:00Z",
        "20251117T103000Z",
        "2025-11-17T24:00:00Z",
        "2025-11-17T10:30:60Z",
        "2025-11-17 10:30:00Z",
    ),
    *("2025-11-17T10:30:00", "2025-11-17T10:30", "2025-11-17T10:30:00+99:99", "2025-11-17T10:30:00+23:59:59.999999"),
    *(
        "2025-02-29T10:30:00Z",
        "2025-11-17t10:30:00z",
        "\uff12\uff10\uff12\uff15-11-17T10:30:00Z",
        "2025-11-17T10:30:00,5Z",
        "1e999",
        "now",
    ),
    *(
        "-2025-11-17T10:30:00Z",
        "1969-12-31T23:59:59Z",
        "2025-11-17T10:30:00.123456789Z",
        "2025-10-26T02:30:00",
        "T" * 40,
    ),
]
MOMENTS_AS_JSON = [json.dumps(moment) for moment in MOMENTS]

junk: Text = st.one_of(
    *(st.sampled_from(texts) for texts in (NUMBERS, STRINGS, SHAPES, NO_JSON, DEEP)),
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.text(st.characters(), max_size=30).map(json.dumps),  # lone surrogates among them, as escapes
    st.text(max_size=30).map(lambda text: json.dumps(text, ensure_ascii=False)),
)


def moments() -> Text:
    """Mostly times a device may say, to the microsecond; some that no calendar has."""
    near = st.timedeltas(timedelta(days=-800), timedelta(hours=1)).map(lambda ago: (NOW + ago).isoformat())
    just_now = st.timedeltas(timedelta(minutes=-20), timedelta()).map(lambda ago: (NOW + ago).isoformat())
    return mostly(mostly(just_now, near, out_of=3), st.sampled_from(MOMENTS), out_of=12).map(json.dumps)


def _values(measure: Any) -> Text:
    if measure.is_whole:
        whole = st.integers(int(measure.lowest) - 2, int(measure.highest) + 2)
        return mostly(whole.map(str), whole.map("{}.0".format))
    return st.decimals(measure.lowest - 2, measure.highest + 2, places=2).map(str)


@st.composite
def members(draw: st.DrawFn, device_id: str = "DEV001") -> list[tuple[str, str]]:
    """Names and values of one reading, as JSON text: acceptable, then spoilt in up to three places."""
    found: list[tuple[str, str]] = [("timestamp", draw(moments()))]
    if device_id:
        found.append(("device_id", json.dumps(device_id)))
    junk_or_number = mostly(st.sampled_from(NUMBERS), junk, out_of=2)
    for measure in draw(st.lists(st.sampled_from(MEASURES), min_size=1, max_size=4, unique_by=lambda one: one.name)):
        found.append((measure.name, draw(_values(measure))))
        if measure.units and draw(st.booleans()):
            found.append((str(measure.unit_field), json.dumps(draw(st.sampled_from(sorted(measure.units))))))
    if draw(st.booleans()):
        found.append(("consciousness", json.dumps(draw(st.sampled_from(CONSCIOUSNESS)))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        name = draw(mostly(st.sampled_from(FIELDS), st.text(st.characters(), max_size=10)))
        place = draw(st.integers(0, len(found)))
        found.insert(place, (name, draw(junk_or_number)))
    if draw(st.integers(1, 20)) == 1:
        found.pop(draw(st.integers(0, len(found) - 1)))
    return found


def _object(found: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in found) + "}"


def singles() -> Body:
    """Bodies of one reading."""
    return mostly(members().map(_object), junk, out_of=20).flatmap(_encoded)


@st.composite
def _batch(draw: st.DrawFn) -> str:
    one = mostly(mostly(members(""), members()).map(_object), st.sampled_from(SHAPES + NUMBERS + STRINGS), out_of=8)
    readings = draw(st.lists(one, max_size=6))
    if draw(st.integers(1, 60)) == 1:
        readings *= 400
    listed = draw(mostly(st.just("[" + ",".join(readings) + "]"), junk, out_of=20))
    found = [("device_id", draw(mostly(st.just('"DEV001"'), junk, out_of=20))), ("readings", listed)]
    found += draw(mostly(st.just([]), st.tuples(st.sampled_from(FIELDS), junk).map(lambda pair: [pair])))
    return _object(found)


def batches() -> Body:
    """Bodies of several."""
    return mostly(_batch(), junk, out_of=20).flatmap(_encoded)


def _encoded(text: str) -> Body:
    """As bytes: in UTF-8 mostly, now and then in another encoding, cut off, or with bytes put in."""
    whole = text.encode("utf-8", "surrogatepass")
    spoilt = st.one_of(
        st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "utf-7"]).map(lambda name: text.encode(name, "replace")),
        st.integers(0, len(whole)).map(lambda end: whole[:end]),
        st.tuples(st.integers(0, len(whole)), st.binary(min_size=1, max_size=4)).map(
            lambda put: whole[: put[0]] + put[1] + whole[put[0] :]
        ),
        st.sampled_from([b"", b" " * 100, b"\0", b"\xff", whole + whole, b" \r\n\t" + whole + b"\n", b"[" * 100_000]),
    )
    return mostly(st.just(whole), spoilt, out_of=12)


def authorizations(key: str) -> st.SearchStrategy[list[Header]]:
    """The right key mostly, and what else programs put there."""
    right = f"Bearer {key}".encode()
    others = [
        *(
            b"bearer " + key.encode(),
            b"BEARER   " + key.encode() + b"  ",
            b"Bearer",
            b"Bearer ",
            key.encode(),
            b"",
            b" ",
        ),
        *(
            right + b"x",
            right[:-1],
            right + b" " + right,
            b"Basic " + key.encode(),
            b"Bearer \xff\xfe",
            b"Bearer \xc3\xa9",
        ),
        *(b"Bearer null", b"Bearer " + b"x" * 20_000, b'Bearer "' + key.encode() + b'"', b"Bearer\t" + key.encode()),
    ]
    one = mostly(st.just(right), st.sampled_from(others))
    name = st.sampled_from([b"Authorization", b"authorization", b"AUTHORIZATION"])
    return mostly(st.just([(b"Authorization", right)]), st.lists(st.tuples(name, one), max_size=2), out_of=2)


more_headers: st.SearchStrategy[list[Header]] = st.lists(
    st.sampled_from(
        [
            *(
                (b"Content-Type", kind)
                for kind in (b"application/json", b"text/plain", b"", b"\xff", b"multipart/form-data")
            ),
            *(
                (b"Content-Type", kind)
                for kind in (b"application/json; charset=utf-16", b"application/x-www-form-urlencoded")
            ),
            *((b"Accept", kind) for kind in (b"text/html", b"image/png", b"*/*;q=0")),
            *((b"X-HTTP-Method-Override", method) for method in (b"DELETE", b"GET")),
            *((b"X-Forwarded-For", value) for value in (b"999.1.1.1", b"\xff", b"::1, 10.0.0.1", b"," * 50)),
            *(
                (name, b"x")
                for name in (b"Cookie", b"HX-Request", b"X-CSRF-Token", b"Idempotency-Key", b"Range", b"If-Match")
            ),
            *(
                (b"Content-Encoding", b"gzip"),
                (b"Expect", b"100-continue"),
                (b"Accept-Encoding", b"gzip"),
                (b"X", b"\xff"),
            ),
            *(
                (b"Cookie", b"labwire_session=x; labwire_flash=\xff"),
                (b"Forwarded", b"for=_x;proto=https"),
                (b"Upgrade", b"h2c"),
            ),
        ]
    ),
    max_size=3,
)
