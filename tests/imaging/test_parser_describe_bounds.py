"""What a description says in its text is bounded, value by value and together; what is longer is named."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest

from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d
from tests.imaging.test_parser_describe import PLACE, model

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=512, seconds=30)
    yield made
    made.close()


LONG_TEXT = "long words " * 4_000


@pytest.mark.parametrize("syntax", [d.IMPLICIT, d.EXPLICIT, d.BIG, d.DEFLATED])
def test_long_texts_and_lists_of_numbers_are_named_and_not_written_out(
    parsers: ParserPool, tmp_path: Path, syntax: str
) -> None:
    made = d.dataset(TextValue=LONG_TEXT, ImageComments="short", SelectorFDValue=[0.5] * 3_000)
    path = d.saved(tmp_path / "a", made, syntax)
    found = parsers.describe(path)
    read = model(found)
    assert read["0040A160"] == {"vr": "UT", "BulkDataURI": PLACE + "0040A160"}
    assert read["00720074"] == {"vr": "FD", "BulkDataURI": PLACE + "00720074"}
    assert read["00204000"] == {"vr": "LT", "Value": ["short"]}
    assert parsers.bulk(path, "0040A160").decode() == LONG_TEXT


def test_a_value_too_long_for_its_vr_is_named_as_unknown(parsers: ParserPool, tmp_path: Path) -> None:
    """Of such a VR no bulk data may be (PS3.18, F.2.2): only implicit files can have one so long."""
    texts = {0x00080018: d.IMAGE.encode(), 0x00081030: b"x" * 70_000}
    texts |= {0x0020000D: d.STUDY.encode(), 0x0020000E: d.SERIES.encode()}
    padded = {tag: text + bytes(len(text) % 2) for tag, text in texts.items()}
    parts = [pack("<HHL", tag >> 16, tag & 0xFFFF, len(text)) + text for tag, text in padded.items()]
    path = d.written(tmp_path / "a", d.meta(d.IMPLICIT), *parts)
    assert model(parsers.describe(path))["00081030"] == {"vr": "UN", "BulkDataURI": PLACE + "00081030"}


def test_all_values_together_are_bounded(parsers: ParserPool, tmp_path: Path) -> None:
    """What a small file inflates to is not told to everybody who asks."""
    texts = [d.element(0x00090000 | number, "UT", b"x" * 16_000) for number in range(0x1000, 0x1000 + 2_000)]
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(d.uids() + b"".join(texts)) + packer.flush()
    path = d.written(tmp_path / "a", d.meta(d.DEFLATED), body)
    assert path.stat().st_size < 200_000
    found = parsers.describe(path)
    assert len(zlib.decompress(found.metadata)) < 10 * 2**20
    assert len(model(found)) > 2_000
