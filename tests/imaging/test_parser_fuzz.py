"""Whatever bytes come: an answer, a refusal by a rule or a file that is held; and the next file is read."""

import os
import random
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from pydicom import data

from models.imaging.ports import NotAnImageError, Rendering, Wrapping
from models.kernel.errors import HeldError
from tasks.clients.dicom.pool import ParserPool
from tasks.clients.dicom.process import START_SECONDS
from tests.imaging import dicom_bytes as d
from tests.imaging.parser_use import MEGABYTE, peak

pytestmark = pytest.mark.contract
EXAMPLES = int(os.environ.get("LABWIRE_TEST_FUZZ_EXAMPLES", "60"))
"""Of each file."""
MEMORY_MB, SECONDS = 512, 20
ANSWERED = "answered"
ALLOWED = {
    *(ANSWERED, "not_an_image", "uids", "length", "unreadable", "elements", "nesting", "deflate_bomb", "dicomdir"),
    *("pixels", "no_pixels", "frame", "codec", "executable"),
}
"""What may become of a file: an answer, or a rule that refuses it. None fails, dies or takes too long."""
DIED = "parser_died"
"""What may become of a picture besides: GDCM aborts its process over some damaged JPEG frames. The file is held."""
FOLDER = Path(data.__file__).parent / "test_files"
SEEDS = (
    "CT_small.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "image_dfl.dcm", "test-SR.dcm", "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm",
    "nested_priv_SQ.dcm", "examples_palette.dcm",
)  # fmt: skip


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=MEMORY_MB, seconds=SECONDS)
    yield made
    made.close()


@dataclass
class Watched:
    """What became of each call, and the most that its process used."""

    parsers: ParserPool
    outcomes: set[str] = field(default_factory=set)
    slowest: float = 0.0

    def call(self, work: Callable[[], object], *, decodes: bool = False) -> None:
        started = time.monotonic()
        found = outcome(work)
        self.slowest = max(self.slowest, time.monotonic() - started)
        if not (decodes and found == DIED):
            self.outcomes.add(found)
        for pid in self.parsers.pids:
            used = [peak(pid, what) for what in ("VmPeak", "VmHWM")]  # address space, and what of it was resident
            assert max(used) <= MEMORY_MB * MEGABYTE, used

    def was_within_limits(self) -> None:
        """Every file has an outcome that is foreseen, within the time of a call."""
        assert self.outcomes <= ALLOWED, self.outcomes - ALLOWED
        assert self.slowest <= SECONDS + START_SECONDS  # of a process: a call may have to wait for one


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
    path, watched = tmp_path / "a", Watched(parsers)
    for _ in range(EXAMPLES):
        path.write_bytes(mutated(whole, chance))
        watched.call(partial(parsers.read, path))
        watched.call(partial(parsers.describe, path))
        watched.call(partial(parsers.pixels, path, 1))
        watched.call(partial(parsers.render, path, Rendering(viewport=(64, 64))), decodes=True)
    watched.was_within_limits()
    parsers.read(d.saved(path, d.dataset()))


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except (NotAnImageError, HeldError) as error:
        return error.rule
    return ANSWERED


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
    watched = Watched(parsers)
    for number in range(EXAMPLES * 2):
        made = whole[:8] + mutated(whole, chance)[8:]
        path = d.written(tmp_path / "a", checked(made) if kind == "PNG" and number % 4 else made)
        watched.call(partial(parsers.read, path))
        wrapping = Wrapping(d.STUDY, d.SERIES, d.IMAGE)
        watched.call(partial(parsers.wrap, path, tmp_path / str(number), wrapping))
    watched.was_within_limits()
    assert watched.outcomes >= {ANSWERED, "length"}
    parsers.read(d.saved(tmp_path / "good", d.dataset()))
