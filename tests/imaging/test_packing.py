"""Arrays kept as gzip become one without being inflated or compressed, and every reader of gzip understands it."""

import gzip
import json
import subprocess
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.imaging import packing
from models.imaging.packing import as_packed, content, inflated, joined, packed

pytestmark = pytest.mark.unit
OBJECTS = st.dictionaries(st.text(max_size=4), st.text(max_size=60), max_size=4)
ARRAYS = st.lists(st.lists(OBJECTS, max_size=4), max_size=5)


def text_of(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def packed_of(objects: list[Any], piece: int = 7) -> bytes:
    texts = [text_of(one) for one in objects]
    return packed([[text[at : at + piece] for at in range(0, len(text), piece)] for text in texts])


@given(ARRAYS)
def test_several_are_one_gzip_of_one_array(arrays: list[list[Any]]) -> None:
    """Read by zlib, which compares length and CRC."""
    kept = [packed_of(one) for one in arrays]
    assert [gzip.decompress(one) for one in kept] == [text_of(one) for one in arrays]
    expected = text_of(list(chain(*arrays)))
    assert gzip.decompress(b"".join(joined(kept))) == expected
    assert b"".join(inflated(joined(kept))) == expected


def test_large_ones_too_and_by_gzip_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [[{"a": f"{one}", "b": "xyz" * 50_000, "c": list(range(40_000))}] * 3 for one in range(4)]
    kept = [packed_of(one, 65_536) for one in arrays]
    monkeypatch.setattr(packing, "PIECE", 1000)
    whole = b"".join(joined(kept))
    run = subprocess.run(["gzip", "-dc"], input=whole, capture_output=True, check=True)
    assert json.loads(run.stdout) == list(chain(*arrays))
    assert max(map(len, joined(kept))) == 1000
    assert max(map(len, inflated(joined(kept)))) == 1000


def test_nothing_is_compressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [packed_of([{"a": number}]) for number in range(3)]
    with monkeypatch.context() as patched:
        for name in ("compressobj", "decompressobj"):
            patched.setattr(zlib, name, lambda *_: pytest.fail("it is only joined"))
        whole = b"".join(joined(kept))
    assert json.loads(gzip.decompress(whole)) == [{"a": number} for number in range(3)]


def test_an_array_is_asked_for_when_those_before_were_taken() -> None:
    asked = list[int]()

    def arrays() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield packed_of([number])

    pieces = joined(arrays())
    assert asked == []
    next(pieces)
    assert asked == [0]  # before the first byte: what keeps it from being read is told by a status
    list(pieces)
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("number_of_objects", [1, 3, 2_000])
def test_what_was_kept_before_there_was_this_form_is_read_and_joined(number_of_objects: int) -> None:
    objects = [{"number": number, "text": "abc" * number} for number in range(number_of_objects)]
    inside = text_of(objects)[1:-1]
    of_series = gzip.compress(text_of(objects))
    olds = [of_series, *([zlib.compress(inside)] if number_of_objects == 1 else [])]
    for old in olds:
        assert b"".join(content(old)) == inside
        assert gzip.decompress(as_packed(old)) == text_of(objects)
        both = gzip.decompress(b"".join(joined([packed_of(["new"]), old, old])))
        assert json.loads(both) == ["new", *objects, *objects]
    new = packed_of(objects)
    assert as_packed(new) is new
    assert b"".join(content(new)) == inside


def test_no_array_and_empty_ones_are_an_empty_one() -> None:
    empty = packed([])
    for kept in ([], [empty], [empty, empty]):
        assert gzip.decompress(b"".join(joined(kept))) == b"[]"
    assert list(content(empty)) == [b""]
