"""Whatever bytes come: an answer, a refusal by a rule or a file that is held; and the next file is read."""

import os
import random
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from pydicom import data

from models.imaging.ports import NotAnImageError, Rendering, Wrapping
from models.kernel.errors import HeldError
from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d

pytestmark = pytest.mark.contract
EXAMPLES = int(os.environ.get("LABWIRE_TEST_FUZZ_EXAMPLES", "60"))
"""Of each file."""
MEMORY_MB = 512
FOLDER = Path(data.__file__).parent / "test_files"
SEEDS = (
    "CT_small.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "image_dfl.dcm", "test-SR.dcm", "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm",
    "nested_priv_SQ.dcm", "examples_palette.dcm",
)  # fmt: skip


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=MEMORY_MB, seconds=20)
    yield made
    made.close()


def mutated(whole: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, mostly where the structure is, or a piece cut out, doubled or moved."""
    out = bytearray(whole)
    head = min(len(out), 4000)
    for _ in range(chance.choice((1, 2, 5, 30))):
        at = chance.randrange(128, head if chance.random() < 0.8 else len(out))
        out[at] = chance.choice((0, 1, 0x7F, 0xFF, 0xFE, 0x5C, 0x1B, chance.randrange(256)))
    start, length = chance.randrange(132, len(out)), chance.randrange(1, 200)
    match chance.randrange(5):
        case 0:
            del out[start : start + length]
        case 1:
            out[start:start] = out[start : start + length] * chance.choice((1, 20))
        case 2:
            del out[start:]
    return bytes(out)


@pytest.mark.parametrize("name", SEEDS)
def test_no_bytes_bring_it_down(parsers: ParserPool, tmp_path: Path, name: str) -> None:
    whole = (FOLDER / name).read_bytes()
    chance = random.Random(name)
    path, outcomes = tmp_path / "a", set()
    for _ in range(EXAMPLES):
        path.write_bytes(mutated(whole, chance))
        calls: tuple[Callable[[], object], ...] = (
            partial(parsers.read, path),
            partial(parsers.describe, path),
            partial(parsers.pixels, path, 1),
            partial(parsers.render, path, Rendering(viewport=(64, 64))),
        )
        outcomes |= {outcome(call) for call in calls}
    assert "parser_failed" not in outcomes
    parsers.read(d.saved(path, d.dataset()))


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except (NotAnImageError, HeldError) as error:
        return error.rule
    return "answered"


def checked(png: bytes) -> bytes:
    """The same with check sums that are right, so that what is changed is also looked at."""
    out, at = bytearray(png), 8
    while at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_no_picture_brings_it_down(parsers: ParserPool, tmp_path: Path, kind: str) -> None:
    from PIL import Image

    said = Image.Exif()
    said[0x010F], said[0x8769] = "Maker", {0x9003: "2026:02:01 10:00:00"}
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "seed", format=kind, exif=said)
    whole, chance = (tmp_path / "seed").read_bytes(), random.Random(kind)
    outcomes = set()
    for number in range(EXAMPLES * 2):
        made = whole[:8] + mutated(whole, chance)[8:]
        path = d.written(tmp_path / "a", checked(made) if kind == "PNG" and number % 4 else made)
        outcomes.add(outcome(partial(parsers.read, path)))
        wrapping = Wrapping(d.STUDY, d.SERIES, d.IMAGE)
        outcomes.add(outcome(partial(parsers.wrap, path, tmp_path / str(number), wrapping)))
    assert "parser_failed" not in outcomes
    assert outcomes >= {"answered", "length"}
    parsers.read(d.saved(tmp_path / "good", d.dataset()))
