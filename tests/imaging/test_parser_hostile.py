"""Files made to harm: each is refused or held within memory and time, and the next file is read as if nothing was."""

import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack

import pytest

from models.imaging.ports import NotAnImageError, Rendering
from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d
from tests.imaging.parser_use import MEGABYTE, peak

pytestmark = pytest.mark.contract
MEMORY_MB = 320


@pytest.fixture
def parsers(tmp_path: Path) -> Iterator[ParserPool]:
    """One process; after each test it reads a file again, and has never used more than it may."""
    made = ParserPool(1, memory_mb=MEMORY_MB, seconds=20)
    yield made
    made.read(d.saved(tmp_path / "good.dcm", d.dataset()))
    (pid,) = made.pids
    assert peak(pid, "VmPeak") <= MEMORY_MB * MEGABYTE
    made.close()


def rule_of(parsers: ParserPool, path: Path) -> str:
    with pytest.raises(NotAnImageError) as caught:
        parsers.read(path)
    return caught.value.rule


def deflated(head: bytes, zeros: int) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    parts = [packer.compress(head)]
    for _ in range(zeros // MEGABYTE):
        parts.append(packer.compress(bytes(MEGABYTE)))
    return b"".join(parts) + packer.flush()


def test_a_deflate_bomb_is_refused_at_its_limit(parsers: ParserPool, tmp_path: Path) -> None:
    head = d.uids() + d.element(0x7FE00010, "OB", b"", length=200 * MEGABYTE)
    path = d.written(tmp_path / "bomb", d.meta(d.DEFLATED), deflated(head, 200 * MEGABYTE))
    assert path.stat().st_size < MEGABYTE
    assert rule_of(parsers, path) == "deflate_bomb"
    (pid,) = parsers.pids
    assert peak(pid, "VmHWM") < 100 * MEGABYTE


def test_deflated_pixels_below_the_limit_are_taken(parsers: ParserPool, tmp_path: Path) -> None:
    head = d.uids() + d.element(0x7FE00010, "OB", b"", length=40 * MEGABYTE)
    parsers.read(d.written(tmp_path / "a", d.meta(d.DEFLATED), deflated(head, 40 * MEGABYTE)))


def test_deflated_files_leave_no_memory_open(parsers: ParserPool, tmp_path: Path) -> None:
    bad = d.written(tmp_path / "bad", d.meta(d.DEFLATED), deflated(d.uids() + d.ITEM_END + bytes(4), 0))
    good = d.written(tmp_path / "good", d.meta(d.DEFLATED), deflated(d.uids(), 0))
    for _ in range(80):  # more than it may have files open
        assert rule_of(parsers, bad) == "length"
        parsers.read(good)


def test_sequences_ten_thousand_deep_are_refused(parsers: ParserPool, tmp_path: Path) -> None:
    opened = d.element(0x00081140, "SQ", b"", length=d.UNDEFINED) + d.item(b"", length=d.UNDEFINED)
    assert rule_of(parsers, d.written(tmp_path / "a", d.meta(), d.uids(), opened * 10_000)) == "nesting"
    opened = pack("<HHL", 0x0008, 0x1140, d.UNDEFINED) + d.item(b"", length=d.UNDEFINED)
    assert rule_of(parsers, d.written(tmp_path / "b", d.meta(d.IMPLICIT), opened * 10_000)) == "nesting"
    unknown = d.element(0x00091001, "UN", b"", length=d.UNDEFINED) + d.item(b"", length=d.UNDEFINED)
    assert rule_of(parsers, d.written(tmp_path / "c", d.meta(), d.uids(), unknown, opened * 10_000)) == "nesting"


@pytest.mark.parametrize("rest", [1, 4, 7])
def test_a_file_that_ends_within_an_elements_header_is_refused(parsers: ParserPool, tmp_path: Path, rest: int) -> None:
    cut = d.written(tmp_path / "cut", d.meta(), d.uids(), d.element(0x7FE00010, "OW", b"")[:rest])
    assert rule_of(parsers, cut) == "length"
    deflated_cut = deflated(d.uids() + d.element(0x7FE00010, "OW", b"")[:rest], 0)
    assert rule_of(parsers, d.written(tmp_path / "deflated", d.meta(d.DEFLATED), deflated_cut)) == "length"
    parsers.read(d.written(tmp_path / "padded", d.meta(), d.uids(), bytes(rest)))
    padding = d.element(0xFFFCFFFC, "OB", bytes(12))
    parsers.read(d.written(tmp_path / "trailing", d.meta(), d.uids(), padding, bytes(rest)))


def test_values_that_hide_a_sequence_are_walked_once(parsers: ParserPool, tmp_path: Path) -> None:
    """What looks like a sequence and is none is tried at each depth: that must not take time to the power of depths."""
    inner = b"\xff" * 8
    for _ in range(60):
        inner = d.item(pack("<HHL", 0x0009, 0x1001, len(inner)) + inner)
    path = d.written(tmp_path / "a", d.meta(), d.uids(), *[d.element(0x00091001, "UN", inner)] * 500)
    begun = time.monotonic()
    parsers.read(path)
    assert time.monotonic() - begun < 15


def test_a_million_elements_are_refused(parsers: ParserPool, tmp_path: Path) -> None:
    path = d.written(tmp_path / "a", d.meta(), d.uids(), d.element(0x00090010, "LO", b"") * 1_000_000)
    assert rule_of(parsers, path) == "elements"


def test_a_huge_file_of_nothing_is_read_without_its_bytes(parsers: ParserPool, tmp_path: Path) -> None:
    head = d.meta() + d.uids() + d.element(0x7FE00010, "OB", b"", length=3 * 1024 * MEGABYTE)
    path = d.written(tmp_path / "sparse", head)
    os.truncate(path, len(head) + 3 * 1024 * MEGABYTE)
    parsers.read(path)
    os.truncate(path, len(head) + 2 * 1024 * MEGABYTE)
    assert rule_of(parsers, path) == "length"


def test_a_file_that_declares_four_gigabytes_is_refused(parsers: ParserPool, tmp_path: Path) -> None:
    path = d.written(tmp_path / "a", d.meta(), d.uids(), d.element(0x00204000, "UT", b"x", length=0xFFFFFFF0))
    assert rule_of(parsers, path) == "length"


def sparse_picture(path: Path, rows: int, columns: int) -> Path:
    """Native pixels of nothing but zeros, that take no room on the disk."""
    layout = [(0x00280010, rows), (0x00280011, columns), (0x00280100, 16), (0x00280101, 16), (0x00280102, 15)]
    said = [d.element(tag, "US", pack("<H", value)) for tag, value in [(0x00280002, 1), *layout, (0x00280103, 0)]]
    said.insert(1, d.element(0x00280004, "CS", b"MONOCHROME2"))
    size = rows * columns * 2
    d.written(path, d.meta(), d.uids(), *said, d.element(0x7FE00010, "OW", b"", length=size))
    os.truncate(path, path.stat().st_size + size)
    return path


def test_a_frame_that_needs_more_memory_than_allowed_ends_no_parser(parsers: ParserPool, tmp_path: Path) -> None:
    path = sparse_picture(tmp_path / "large", 9_000, 10_000)
    parsers.read(path)
    before = parsers.pids
    with pytest.raises(NotAnImageError) as caught:
        parsers.render(path, Rendering())
    assert caught.value.rule == "pixels"
    assert before == parsers.pids


def test_a_frame_of_more_pixels_than_anyone_shows_is_refused(parsers: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(NotAnImageError) as caught:
        parsers.render(sparse_picture(tmp_path / "large", 40_000, 40_000), Rendering())
    assert caught.value.rule == "pixels"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_one_could_wait_on_for_ever_is_refused(
    parsers: ParserPool, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "a")
    assert rule_of(parsers, tmp_path / "a") == "not_an_image"
    assert rule_of(parsers, Path("/dev/zero")) == "not_an_image"


def test_numbers_that_promise_millions_of_frames_are_bounded(parsers: ParserPool, tmp_path: Path) -> None:
    said = [(0x00280010, 1), (0x00280011, 1), (0x00280100, 8)]
    parts = [d.element(tag, "US", pack("<H", value)) for tag, value in said]
    many = d.element(0x00280008, "IS", b"2147483646")
    path = d.written(tmp_path / "a", d.meta(), d.uids(), many, *parts, d.element(0x7FE00010, "OB", bytes(3 * MEGABYTE)))
    with pytest.raises(NotAnImageError) as caught:
        parsers.describe(path)
    assert caught.value.rule == "elements"
