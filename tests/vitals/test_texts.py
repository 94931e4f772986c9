"""Readings that come together: each keeps its text, and JSON is read as Python reads it."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.kernel.errors import InvalidError
from models.vitals.readings import load, load_several
from tests.vitals.conftest import Worn
from tests.vitals.test_doors import moment

SIMPLE = st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
NAMES = st.sampled_from(["readings", "device_id", "x", ""])
SPACES = st.text(" \t\r\n", max_size=3)


def spelt(value: Any) -> str:
    return json.dumps(value, default=lambda number: float(number) if isinstance(number, Decimal) else None)


@pytest.mark.unit
@given(members=st.lists(st.tuples(NAMES, VALUES | st.lists(VALUES)), max_size=4), space=SPACES)
def test_it_reads_what_python_reads_and_cuts_the_readings_out(members: list[tuple[str, Any]], space: str) -> None:
    inner = f"{space},{space}".join(f"{json.dumps(name)}{space}:{space}{spelt(value)}" for name, value in members)
    text = f"{space}{{{space}{inner}{space}}}{space}"
    content, texts = load_several(text.encode())
    assert content == load(text.encode())
    found = content.get("readings")
    assert [load(one.encode()) for one in texts] == (found if isinstance(found, list) else [])
    assert all(one in text for one in texts)


@pytest.mark.unit
@given(values=st.lists(VALUES, max_size=5), space=SPACES)
def test_an_array_is_cut_too(values: list[Any], space: str) -> None:
    text = f"[{space}{f'{space},{space}'.join(spelt(value) for value in values)}{space}]"
    content, texts = load_several(text.encode())
    assert content == load(text.encode()) == [load(one.encode()) for one in texts]


@pytest.mark.unit
@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[", "[1", "[1,", "[1,]", "[,]", "[1 2]", "[1]]", "{}{}", '{"a"}', '{"a":}', '{"a" 1}', '{"a":1,}'),
        *("{1:2}", '{"readings": [}', '{"readings": [1,]}', '{"a":1 "b":2}', "{,}", "[NaN]", '{"readings":[Infinity]}'),
        *('{"readings": [1]', "[" * 100_000, '{"a":' * 100_000, "[1]x"),
    ],
)
def test_what_is_no_json_is_refused_as_such(text: str) -> None:
    with pytest.raises(InvalidError, match="Invalid JSON format"):
        load(text.encode())
    with pytest.raises(InvalidError, match="Invalid JSON format"):
        load_several(text.encode())


@pytest.mark.api
def test_each_reading_of_a_batch_is_kept_as_it_was_received(worn: Worn) -> None:
    one = f'{{ "heart_rate":75 ,"timestamp": "{moment(minutes=2)}", "oxygen_saturation": 98.00, "firmware": "é" }}'
    two = f'{{"timestamp":"{moment(minutes=1)}","heart_rate":76}}'
    body = f'{{"device_id": "DEV001", "readings": [{one}, {two}]}}'.encode()
    answer = worn.clinic.door.post(
        "/api/iot/vitals/batch/", content=body, headers={"Authorization": f"Bearer {worn.key}"}
    )
    assert answer.status_code == 200, answer.text
    assert [row.raw for row in worn.clinic.rows("SELECT raw FROM vital_sign ORDER BY id")] == [one, two]
