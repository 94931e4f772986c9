"""JPEG and PNG: taken by their content, and wrapped as Secondary Capture without losing a pixel or a byte."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from pydicom import dcmread

from models.imaging.ports import Instance, NotAnImageError, Picture, Rendering, Wrapping
from models.kernel.errors import RetryableError
from tasks.clients.dicom.limits import RESERVED_MB
from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d

pytestmark = pytest.mark.contract
GREY = np.add.outer(np.arange(101), 2 * np.arange(77)).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
BASELINE = "1.2.840.10008.1.2.4.50"
WRAPPING = Wrapping(
    d.STUDY, d.SERIES, d.IMAGE, patient_name="Ọlá^Bọ́lá", patient_code="P-1", study_date="20260201", modality="XC"
)


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=512, seconds=30)
    yield made
    made.close()


def drawn(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


def refused(parsers: ParserPool, path: Path) -> str:
    with pytest.raises(NotAnImageError) as caught:
        parsers.read(path)
    return caught.value.rule


def test_a_picture_is_known_by_its_content_not_its_name(parsers: ParserPool, tmp_path: Path) -> None:
    jpeg = drawn(tmp_path / "photo.png", Image.fromarray(RGB), format="JPEG")
    assert parsers.read(jpeg) == Picture("image/jpeg", 77, 101)
    png = drawn(tmp_path / "scan.dcm", Image.fromarray(GREY), format="PNG")
    assert parsers.read(png) == Picture("image/png", 77, 101)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_a_camera_says_is_kept_but_not_where_it_was(parsers: ParserPool, tmp_path: Path, kind: str) -> None:
    said = Image.Exif()
    said[0x010F], said[0x0110] = "Maker\x00\x07", "M" * 5000
    said[0x8769] = {0x829A: IFDRational(1, 250), 0x927C: b"secret", 0x9003: "2026:02:01 10:00:00"}
    said[0x8825] = {1: "N", 2: (6.0, 27.0, 0.0)}
    found = parsers.read(drawn(tmp_path / "a", Image.fromarray(RGB), format=kind, exif=said))
    assert isinstance(found, Picture)
    exif = dict(found.exif)
    assert exif.pop("Model") == "M" * 1000
    assert exif == {"Make": "Maker", "ExposureTime": 0.004, "DateTimeOriginal": "2026:02:01 10:00:00"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_that_is_cut_off_is_refused(parsers: ParserPool, tmp_path: Path, kind: str) -> None:
    whole = drawn(tmp_path / "a", Image.fromarray(RGB), format=kind).read_bytes()
    for at in (len(whole) - 3, len(whole) // 2, 12):
        assert refused(parsers, d.written(tmp_path / "b", whole[:at])) == "length"


@pytest.mark.parametrize("is_progressive", [False, True])
def test_a_thumbnails_end_is_not_the_pictures(parsers: ParserPool, tmp_path: Path, is_progressive: bool) -> None:
    small = drawn(tmp_path / "small", Image.fromarray(GREY[:8, :8]), format="JPEG").read_bytes()
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 300, 3), dtype=np.uint8))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + small
    path = drawn(tmp_path / "a", noise, format="JPEG", exif=exif, progressive=is_progressive)
    whole = path.read_bytes()
    assert parsers.read(d.written(tmp_path / "b", whole, b"a maker's own words", small)) == parsers.read(path)
    for at in (len(whole) - 2, len(whole) * 6 // 10, len(exif) + 20):
        assert refused(parsers, d.written(tmp_path / "c", whole[:at])) == "length"


def test_a_picture_that_is_damaged_is_refused(parsers: ParserPool, tmp_path: Path) -> None:
    whole = bytearray(drawn(tmp_path / "a", Image.fromarray(RGB), format="PNG").read_bytes())
    whole[len(whole) // 2] ^= 1
    assert refused(parsers, d.written(tmp_path / "b", bytes(whole))) == "length"


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (20_000, 6_000)])
def test_a_picture_that_would_fill_the_memory_is_refused(
    parsers: ParserPool, tmp_path: Path, width: int, height: int
) -> None:
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))
    path = d.written(tmp_path / "a", b"\x89PNG\r\n\x1a\n", header, chunk(b"IDAT", b"x"), chunk(b"IEND", b""))
    assert refused(parsers, path) == "pixels"


def wrapped(parsers: ParserPool, path: Path, wrapping: Wrapping = WRAPPING) -> Any:
    target = path.with_suffix(".wrapped")
    parsers.wrap(path, target, wrapping)
    read = parsers.read(target)
    assert isinstance(read, Instance)
    assert (read.study_uid, read.series_uid, read.image_uid) == (d.STUDY, d.SERIES, d.IMAGE)
    assert read.patient_name == "Ọlá^Bọ́lá"
    assert parsers.describe(target).is_complete
    return dcmread(target)


@pytest.mark.parametrize(
    ("picture", "photometric", "options"),
    [
        (RGB, "YBR_FULL_422", {}),
        (RGB, "YBR_FULL", {"subsampling": 0}),
        (GREY, "MONOCHROME2", {}),
        (RGB, "RGB", {"keep_rgb": True}),
    ],
)
def test_a_plain_jpeg_is_kept_byte_for_byte(
    parsers: ParserPool, tmp_path: Path, picture: Any, photometric: str, options: dict[str, Any]
) -> None:
    path = drawn(tmp_path / "a.jpg", Image.fromarray(picture), **options)
    made = wrapped(parsers, path)
    assert made.file_meta.TransferSyntaxUID == BASELINE
    assert made.PhotometricInterpretation == photometric
    assert made.LossyImageCompression == "01"
    assert parsers.pixels(tmp_path / "a.wrapped", 1).rstrip(b"\x00") == path.read_bytes()
    assert np.abs(made.pixel_array.astype(int) - np.asarray(Image.open(path)).astype(int)).max() <= 3


def test_any_other_jpeg_is_kept_as_the_pixels_it_shows(parsers: ParserPool, tmp_path: Path) -> None:
    kinds: list[tuple[Image.Image, dict[str, Any]]] = [
        (Image.fromarray(RGB), {"progressive": True}),
        (Image.fromarray(RGB).convert("CMYK"), {}),
    ]
    for picture, options in kinds:
        path = drawn(tmp_path / "a.jpg", picture, **options)
        made = wrapped(parsers, path)
        assert made.file_meta.TransferSyntaxUID == d.EXPLICIT
        assert np.array_equal(made.pixel_array, np.asarray(Image.open(path).convert("RGB")))
        (tmp_path / "a.wrapped").unlink()


def test_a_picture_taken_sideways_is_turned(parsers: ParserPool, tmp_path: Path) -> None:
    said = Image.Exif()
    said[0x0112] = 6
    path = drawn(tmp_path / "a.jpg", Image.fromarray(RGB), exif=said)
    made = wrapped(parsers, path)
    assert (made.Rows, made.Columns) == (77, 101)
    assert np.array_equal(made.pixel_array, np.rot90(np.asarray(Image.open(path)), -1))


CLEAR = np.dstack([RGB, np.full(GREY.shape, 0, np.uint8)])
PNGS: dict[str, tuple[Image.Image, Any]] = {
    "grey": (Image.fromarray(GREY), GREY),
    "grey_16": (Image.fromarray(GREY.astype(np.uint16) * 250), GREY.astype(np.uint16) * 250),
    "bits": (Image.fromarray(GREY > 100), (GREY > 100).astype(np.uint8) * 255),
    "colour": (Image.fromarray(RGB), RGB),
    "opaque": (Image.fromarray(RGB).convert("RGBA"), RGB),
    "clear": (Image.fromarray(CLEAR), np.full_like(RGB, 255)),
    "grey_opaque": (Image.fromarray(GREY).convert("LA"), GREY),
    "palette": (Image.fromarray(RGB).quantize(16), np.asarray(Image.fromarray(RGB).quantize(16).convert("RGB"))),
}


@pytest.mark.parametrize("kind", PNGS)
def test_a_png_keeps_every_pixel(parsers: ParserPool, tmp_path: Path, kind: str) -> None:
    picture, expected = PNGS[kind]
    made = wrapped(parsers, drawn(tmp_path / "a.png", picture))
    assert made.file_meta.TransferSyntaxUID == d.EXPLICIT
    assert np.array_equal(made.pixel_array, expected)
    assert "LossyImageCompression" not in made


def test_the_wrapping_says_what_a_secondary_capture_must(parsers: ParserPool, tmp_path: Path) -> None:
    made = wrapped(parsers, drawn(tmp_path / "a.png", Image.fromarray(GREY)))
    assert made.SOPClassUID == made.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert made.file_meta.MediaStorageSOPInstanceUID == d.IMAGE
    assert (made.ConversionType, made.BurnedInAnnotation, made.Modality) == ("WSD", "YES", "XC")
    assert (made.SpecificCharacterSet, made.StudyDate, made.PatientID) == ("ISO_IR 192", "20260201", "P-1")
    assert (made.SeriesNumber, made.InstanceNumber) == (1, 1)
    for keyword in ("PatientBirthDate", "PatientSex", "StudyTime", "ReferringPhysicianName", "StudyID", "Manufacturer"):
        assert keyword in made


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_the_same_picture_gives_the_same_bytes(parsers: ParserPool, tmp_path: Path, name: str) -> None:
    path = drawn(tmp_path / name, Image.fromarray(RGB))
    fresh = ParserPool(1, memory_mb=512, seconds=30)
    parsers.wrap(path, tmp_path / "one", WRAPPING)
    fresh.wrap(path, tmp_path / "two", WRAPPING)
    fresh.close()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_cannot_be_wrapped_leaves_nothing_behind(parsers: ParserPool, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(NotAnImageError) as caught:
        parsers.wrap(d.saved(tmp_path / "a", d.dataset()), target, WRAPPING)
    assert caught.value.rule == "not_an_image"
    broken = bytearray(drawn(tmp_path / "p.jpg", Image.fromarray(RGB), progressive=True).read_bytes())
    broken[200:-2] = b"\xff\x00" * ((len(broken) - 202) // 2)
    with pytest.raises(NotAnImageError):
        parsers.wrap(d.written(tmp_path / "b", bytes(broken)), target, WRAPPING)
    assert not target.exists()


def test_nothing_is_ever_written_over(parsers: ParserPool, tmp_path: Path) -> None:
    path = drawn(tmp_path / "a.png", Image.fromarray(GREY))
    target = d.written(tmp_path / "target", b"kept")
    with pytest.raises(RetryableError):
        parsers.wrap(path, target, WRAPPING)
    assert target.read_bytes() == b"kept"


SMALL_MB = 320
KINDS = [
    ("1", "PNG", 8),
    ("L", "JPEG", 8),
    ("I;16", "PNG", 12),
    ("P", "PNG", 30),
    ("RGBA", "PNG", 30),
    ("RGB", "JPEG", 30),
]


@pytest.mark.parametrize(("mode", "kind", "bytes_of_one"), KINDS)
def test_as_many_pixels_are_taken_as_the_memory_allows_and_all_of_them_are_shown(
    tmp_path: Path, mode: str, kind: str, bytes_of_one: int
) -> None:
    most = (SMALL_MB - RESERVED_MB) * 2**20 // bytes_of_one
    pool = ParserPool(1, memory_mb=SMALL_MB, seconds=60)
    try:
        side = int(most**0.5)
        path = drawn(tmp_path / "a", blank(mode, side), format=kind)
        assert isinstance(pool.read(path), Picture)
        pool.wrap(path, tmp_path / "wrapped", WRAPPING)
        assert pool.render(tmp_path / "wrapped", Rendering())
        pids = pool.pids
        larger = drawn(tmp_path / "b", blank(mode, side + 2), format=kind)
        assert refused(pool, larger) == "pixels"
        assert pool.pids == pids
    finally:
        pool.close()


def blank(mode: str, side: int) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.zeros((side, side), np.uint16))
    return Image.new(mode, (side, side))
