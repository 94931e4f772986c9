"""A file's description: the DICOM JSON Model, and where its frames and large values lie, byte for byte."""

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended

from models.imaging.ports import Description, NotAnImageError
from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d

pytestmark = pytest.mark.contract
PLACE = f"/dicom-web/studies/{d.STUDY}/series/{d.SERIES}/instances/{d.IMAGE}/bulkdata/"


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=512, seconds=30)
    yield made
    made.close()


def model(found: Description) -> dict[str, Any]:
    read = json.loads(zlib.decompress(found.metadata))
    assert isinstance(read, dict)
    return read


def cut(path: Path, *pieces: tuple[int, int]) -> bytes:
    whole = path.read_bytes()
    return b"".join(whole[start : start + length] for start, length in pieces)


def with_icon(pixels: bytes = b"", **changes: Any) -> Dataset:
    inner = Dataset()
    inner.add_new(0x00091010, "OB", b"\x07" * 3000)
    outer = Dataset()
    outer.ReferencedSOPInstanceUID = "1.2.3"
    outer.add_new(0x00880200, "SQ", [Dataset(), inner])
    made = d.dataset(**({"PixelData": pixels} if pixels else {}), **changes)
    made.ReferencedImageSequence = [outer]
    made.add_new(0x00090010, "LO", "LABWIRE")
    made.add_new(0x00091001, "OB", b"\x05" * 5000)
    made.add_new(0x00091002, "OB", b"\x06" * 1024)
    return made


@pytest.mark.parametrize("syntax", [d.IMPLICIT, d.EXPLICIT, d.BIG])
def test_large_values_lie_where_it_says_also_within_items(parsers: ParserPool, tmp_path: Path, syntax: str) -> None:
    path = d.saved(tmp_path / "a", with_icon(), syntax)
    found = parsers.describe(path)
    nested = "00081140/1/00880200/2/00091010"
    assert {place: cut(path, where) for place, where in found.bulk.items()} == {
        nested: b"\x07" * 3000,
        "00091001": b"\x05" * 5000,
        "7FE00010": cut(path, *found.frames[0]),
    }
    read = model(found)
    assert read["00091001"]["BulkDataURI"] == PLACE + "00091001"
    assert read["00081140"]["Value"][0]["00880200"]["Value"][1]["00091010"]["BulkDataURI"] == PLACE + nested
    assert read["7FE00010"] == {"vr": "OW", "BulkDataURI": PLACE + "7FE00010"}
    assert base64.b64decode(read["00091002"]["InlineBinary"]) == b"\x06" * 1024
    assert all(parsers.bulk(path, place) == cut(path, where) for place, where in found.bulk.items())


def test_sequences_of_either_length_are_the_same(parsers: ParserPool, tmp_path: Path) -> None:
    made, undefined = with_icon(), with_icon()
    undefined["ReferencedImageSequence"].is_undefined_length = True
    undefined.ReferencedImageSequence[0].is_undefined_length_sequence_item = True
    first, second = d.saved(tmp_path / "a", made), d.saved(tmp_path / "b", undefined)
    one, other = parsers.describe(first), parsers.describe(second)
    assert first.stat().st_size != second.stat().st_size
    assert model(one) == model(other)
    assert [cut(first, where) for where in one.bulk.values()] == [cut(second, where) for where in other.bulk.values()]


def test_values_are_as_the_json_model_wants_them(parsers: ParserPool, tmp_path: Path) -> None:
    made = d.dataset(
        SpecificCharacterSet="GB18030",
        PatientName="Wang^XiaoDong=王^小东",
        PatientComments="a\\b",
        ImageType=["ORIGINAL", "", "AXIAL"],
        WindowCenter=["40.5", "300"],
        AccessionNumber="",
        FrameIncrementPointer=0x00181063,
    )
    read = model(parsers.describe(d.saved(tmp_path / "a", made)))
    assert read["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert read["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]}
    assert read["00104000"] == {"vr": "LT", "Value": ["a\\b"]}
    assert read["00080008"] == {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]}
    assert read["00281050"] == {"vr": "DS", "Value": [40.5, 300]}
    assert read["00080050"] == {"vr": "SH"}
    assert read["00280009"] == {"vr": "AT", "Value": ["00181063"]}
    assert list(read) == sorted(read)
    assert not [tag for tag in read if tag.startswith("0002") or tag.endswith("0000")]


def test_one_bad_value_spoils_no_other(parsers: ParserPool, tmp_path: Path) -> None:
    parts = [
        d.element(0x00081030, "LO", b"kept"),
        d.element(0x00180060, "DS", b"NaN"),
        d.element(0x00200011, "IS", b"many"),
        d.element(0x00280010, "US", b"abc"),
        d.element(0x00091001, "FD", pack("<2d", float("nan"), 1.5)),
        d.element(0x00091003, "ZZ", b"odd!"),
    ]
    read = model(parsers.describe(d.written(tmp_path / "a", d.meta(), d.uids(), *parts)))
    assert read["00081030"] == {"vr": "LO", "Value": ["kept"]}
    assert read["00180060"]["Value"] == ["NaN"]
    assert read["00200011"]["Value"] == ["many"]
    assert read["00091001"]["Value"] == [None, 1.5]
    assert read["0020000D"]["Value"] == [d.STUDY]


def test_signs_of_implicit_values_are_those_of_the_pixels(parsers: ParserPool, tmp_path: Path) -> None:
    made = d.dataset(PixelRepresentation=1)
    made.add_new(0x00280106, "SS", -5)
    assert model(parsers.describe(d.saved(tmp_path / "a", made, d.IMPLICIT)))["00280106"] == {"vr": "SS", "Value": [-5]}


def test_words_in_the_text_are_little_endian_whatever_the_file_is(parsers: ParserPool, tmp_path: Path) -> None:
    made = d.dataset()
    made.add_new(0x00091001, "OW", b"\x01\x02\x03\x04")
    little = model(parsers.describe(d.saved(tmp_path / "a", made)))
    big = model(parsers.describe(d.written(tmp_path / "b", big_endian_words())))
    assert little["00091001"] == big["00091001"]


def big_endian_words() -> bytes:
    """The same in big endian: 0x0201 and 0x0403 are written with their high bytes first."""
    uids = [(0x00080018, d.IMAGE), (0x0020000D, d.STUDY), (0x0020000E, d.SERIES)]
    parts = [
        pack(">HH2sH", tag >> 16, tag & 0xFFFF, b"UI", len(uid) + len(uid) % 2) + uid.encode() + b"\0" * (len(uid) % 2)
        for tag, uid in uids
    ]
    parts.insert(1, pack(">HH2sHL", 0x0009, 0x1001, b"OW", 0, 4) + b"\x02\x01\x04\x03")
    return d.meta(d.BIG) + b"".join(parts)


@pytest.mark.parametrize("syntax", [d.IMPLICIT, d.EXPLICIT, d.BIG])
def test_native_frames_are_cut_from_the_pixels(parsers: ParserPool, tmp_path: Path, syntax: str) -> None:
    pixels = bytes(range(240))
    path = d.saved(tmp_path / "a", d.dataset(NumberOfFrames=5, PixelData=pixels), syntax)
    found = parsers.describe(path)
    frames = [cut(path, *pieces) for pieces in found.frames]
    assert [len(frame) for frame in frames] == [48] * 5
    assert found.is_complete
    assert b"".join(frames) == cut(path, found.bulk["7FE00010"])
    assert [parsers.pixels(path, number) for number in range(1, 6)] == frames


def test_frames_that_are_missing_are_not_promised(parsers: ParserPool, tmp_path: Path) -> None:
    path = d.saved(tmp_path / "a", d.dataset(NumberOfFrames=5, PixelData=bytes(100)))
    assert len(parsers.describe(path).frames) == 2
    for number in (0, 3, -1):
        with pytest.raises(NotAnImageError) as caught:
            parsers.pixels(path, number)
        assert caught.value.rule == "frame"


def bits(*frames: str) -> bytes:
    """Bits one after the other, the first one lowest."""
    text = "".join(frames)
    packed = int(text[::-1], 2).to_bytes((len(text) + 7) // 8, "little")
    return packed + b"\x00" * (len(packed) % 2)


def test_frames_of_single_bits_are_cut_also_within_bytes(parsers: ParserPool, tmp_path: Path) -> None:
    layout: dict[str, Any] = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "NumberOfFrames": 2}
    even = d.dataset(Rows=4, Columns=4, PixelData=bits("1" * 16, "01" * 8), **layout)
    path = d.saved(tmp_path / "even", even)
    assert [cut(path, *pieces) for pieces in parsers.describe(path).frames] == [b"\xff\xff", b"\xaa\xaa"]
    odd = d.dataset(Rows=3, Columns=3, PixelData=bits("1" * 9, "010101010"), **layout)
    path = d.saved(tmp_path / "odd", odd)
    found = parsers.describe(path)
    assert (found.frames, found.is_complete) == ([], False)
    assert parsers.pixels(path, 1) == b"\xff\x01"
    assert parsers.pixels(path, 2) == b"\xaa\x00"


def test_pixels_with_half_their_colours_are_shorter(parsers: ParserPool, tmp_path: Path) -> None:
    made = d.dataset(
        SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="YBR_FULL_422",
        BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames=2, PixelData=bytes(96),
    )  # fmt: skip
    path = d.saved(tmp_path / "a", made)
    assert [length for ((_, length),) in parsers.describe(path).frames] == [48, 48]


def test_floating_pixels_have_frames(parsers: ParserPool, tmp_path: Path) -> None:
    made = d.dataset(BitsAllocated=32, BitsStored=None, HighBit=None, PixelData=None, PixelRepresentation=None)
    made.FloatPixelData = pack("<24f", *range(24))
    path = d.saved(tmp_path / "a", made)
    found = parsers.describe(path)
    assert [cut(path, *pieces) for pieces in found.frames] == [made.FloatPixelData]
    assert model(found)["7FE00008"] == {"vr": "OF", "BulkDataURI": PLACE + "7FE00008"}


FRAMES = [b"\xff\xd8\xff" + bytes([number]) * (20 + 3 * number) + b"\xff\xd9" for number in range(3)]
"""They begin as a JPEG does; nobody decodes them here."""


def fragmented(path: Path, pixels: bytes, frames: int, **changes: Any) -> Path:
    made = d.dataset(BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames=frames, PixelData=pixels, **changes)
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    return d.saved(path, made, d.JPEG)


@pytest.mark.parametrize("has_table", [False, True])
@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_fragments_are_grouped_into_frames(parsers: ParserPool, tmp_path: Path, has_table: bool, pieces: int) -> None:
    path = fragmented(tmp_path / "a", encapsulate(FRAMES, fragments_per_frame=pieces, has_bot=has_table), 3)
    found = parsers.describe(path)
    assert [len(frame) for frame in found.frames] == [pieces] * 3
    assert [cut(path, *frame).rstrip(b"\x00") for frame in found.frames] == FRAMES
    assert [parsers.pixels(path, number).rstrip(b"\x00") for number in (1, 2, 3)] == FRAMES


def test_the_extended_table_groups_fragments(parsers: ParserPool, tmp_path: Path) -> None:
    pixels, offsets, lengths = encapsulate_extended(FRAMES)
    path = fragmented(tmp_path / "a", pixels, 3, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    assert [cut(path, *frame).rstrip(b"\x00") for frame in parsers.describe(path).frames] == FRAMES
    # Several fragments a frame, none of which shows by itself that it begins one.
    plain = [bytes([7]) * 24, bytes([8]) * 40]
    pixels, offsets = encapsulate(plain, fragments_per_frame=2, has_bot=False), pack("<2Q", 0, 24 + 2 * 8)
    path = fragmented(tmp_path / "b", pixels, 2, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=offsets)
    found = parsers.describe(path)
    assert [len(frame) for frame in found.frames] == [2, 2]
    assert [cut(path, *frame) for frame in found.frames] == plain


def test_one_frame_is_all_of_its_fragments(parsers: ParserPool, tmp_path: Path) -> None:
    path = fragmented(tmp_path / "a", encapsulate(FRAMES[2:], fragments_per_frame=3, has_bot=False), 1)
    found = parsers.describe(path)
    assert cut(path, *found.frames[0]).rstrip(b"\x00") == FRAMES[2]
    start, length = found.bulk["7FE00010"]
    assert cut(path, (start, length + 8)).endswith(d.SEQUENCE_END + bytes(4))


def test_a_table_that_is_wrong_is_not_believed(parsers: ParserPool, tmp_path: Path) -> None:
    pixels = bytearray(encapsulate(FRAMES, fragments_per_frame=2, has_bot=True))
    pixels[12:16] = pack("<L", 5)
    path = fragmented(tmp_path / "a", bytes(pixels), 3)
    assert [cut(path, *frame).rstrip(b"\x00") for frame in parsers.describe(path).frames] == FRAMES


def test_a_deflated_file_has_no_offsets_but_the_parser_has_its_bytes(parsers: ParserPool, tmp_path: Path) -> None:
    path = d.saved(tmp_path / "a", with_icon(), d.DEFLATED)
    found = parsers.describe(path)
    assert (found.is_complete, found.frames, found.bulk) == (False, [], {})
    assert model(found)["00091001"]["BulkDataURI"] == PLACE + "00091001"
    assert parsers.pixels(path, 1) == bytes(range(48))
    assert parsers.bulk(path, "00081140/1/00880200/2/00091010") == b"\x07" * 3000


@pytest.mark.parametrize("place", ["", "00091009", "00091001/1", "00081140/2/00880200", "00081140/x/00880200", "a/b/c"])
def test_a_place_that_is_none_is_refused(parsers: ParserPool, tmp_path: Path, place: str) -> None:
    path = d.saved(tmp_path / "a", with_icon())
    with pytest.raises(NotAnImageError) as caught:
        parsers.bulk(path, place)
    assert caught.value.rule == "bulk"


def test_what_is_no_dicom_has_no_description(parsers: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(NotAnImageError) as caught:
        parsers.describe(d.written(tmp_path / "a", b"\xff\xd8\xff\xe0" + bytes(300)))
    assert caught.value.rule == "not_an_image"
