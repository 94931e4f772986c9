"""Every file bundled with pydicom: read and described as pydicom reads it, or refused by a rule known beforehand."""

import json
import logging
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import data
from pydicom.pixels.processing import apply_color_lut

from models.imaging.ports import Instance, NotAnImageError, Rendering
from tasks.clients.dicom.pool import ParserPool

pytestmark = pytest.mark.contract
BUNDLED = Path(data.__file__).parent
"""What lies in the wheel: nothing is downloaded."""
NO_FILES = {".py", ".pyc", ".json", ".txt", ".icc", ".dump", ".gz", ".md"}
FILES = sorted(
    path for folder in ("test_files", "charset_files", "palettes") for path in (BUNDLED / folder).glob("**/*")
    if path.is_file() and path.suffix not in NO_FILES
)  # fmt: skip
REFUSED = {
    "MR_truncated.dcm": "length",
    "rtplan_truncated.dcm": "length",
}
"""Others are refused because they have no preamble, no UIDs, or are a DICOMDIR: pydicom confirms it."""
NO_CODEC = {"JPEG-lossy.dcm", "JPGExtended.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"}
"""12 bits lossy, which no codec here reads, and one whose JPEG 2000 is damaged: pydicom cannot decode them either."""
BAD_NUMBER = "badVR.dcm"
"""Its number of frames is none: the first one is shown."""
SAME_PIXELS = ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_expb.dcm",
               "MR_small_implicit.dcm")  # fmt: skip


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=512, seconds=30)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def quiet_pydicom() -> Iterator[None]:
    logger = logging.getLogger("pydicom")
    logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logger.setLevel(logging.NOTSET)


def expected_rule(path: Path) -> str:
    if path.read_bytes()[128:132] != b"DICM":
        return "not_an_image"
    if path.name in REFUSED:
        return REFUSED[path.name]
    read = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    if read.file_meta.get("MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10":
        return "dicomdir"
    uids = (read.get(keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
    return "" if all(uids) else "uids"


def read(parsers: ParserPool, path: Path) -> Instance | None:
    """What was read; None where it was refused by the rule it must be refused by."""
    rule = expected_rule(path)
    if rule:
        with pytest.raises(NotAnImageError) as caught:
            parsers.read(path)
        assert caught.value.rule == rule
        return None
    found = parsers.read(path)
    assert isinstance(found, Instance)
    return found


def test_there_is_a_corpus() -> None:
    assert len(FILES) > 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_read_as_pydicom_reads_it_or_refused(parsers: ParserPool, path: Path) -> None:
    found = read(parsers, path)
    if found is None:
        return
    theirs = pydicom.dcmread(path)
    assert found.study_uid == theirs.StudyInstanceUID
    assert found.transfer_syntax_uid == theirs.file_meta.TransferSyntaxUID
    assert found.patient_name == str(theirs.get("PatientName", "")).partition("=")[0].strip(" ^")
    assert found.rows == theirs.get("Rows")
    assert found.modality == theirs.get("Modality", "")
    compared(json.loads(zlib.decompress(parsers.describe(path).metadata)), model_of(theirs))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_frames_make_up_the_pixels_and_can_be_shown(parsers: ParserPool, path: Path) -> None:
    if read(parsers, path) is None:
        return
    found, theirs = parsers.describe(path), pydicom.dcmread(path)
    if path.name == BAD_NUMBER:
        assert len(found.frames) == 1
        return
    if "PixelData" not in theirs:
        assert not found.frames
        return
    if found.is_complete:
        whole = path.read_bytes()
        start, length = found.bulk["7FE00010"]
        assert whole[start : start + length] == theirs.PixelData[:length]
        frames = [whole[at : at + size] for pieces in found.frames for at, size in pieces]
        if not theirs["PixelData"].is_undefined_length:
            assert b"".join(frames) == theirs.PixelData[: sum(map(len, frames))]
            assert len(theirs.PixelData) - sum(map(len, frames)) < max(2, len(frames[0]) // 50)
        assert len(found.frames) == int(theirs.get("NumberOfFrames", None) or 1)
    if path.name in NO_CODEC:
        with pytest.raises(NotAnImageError, match="decoded"):
            parsers.render(path, Rendering())
    else:
        assert parsers.render(path, Rendering()).startswith(b"\x89PNG")


def test_codecs_give_the_pixels_of_the_same_picture_uncompressed(parsers: ParserPool) -> None:
    plain = parsers.render(BUNDLED / "test_files" / "MR_small.dcm", Rendering())
    for name in SAME_PIXELS:
        assert parsers.render(BUNDLED / "test_files" / name, Rendering()) == plain


def test_pixels_are_those_pydicom_decodes(parsers: ParserPool) -> None:
    for name in ("SC_rgb_small_odd.dcm", "SC_rgb_rle_2frame.dcm", "SC_rgb_jpeg_gdcm.dcm", "examples_palette.dcm"):
        path = BUNDLED / "test_files" / name
        theirs = pydicom.dcmread(path)
        pixels = theirs.pixel_array if theirs.get("NumberOfFrames", 1) == 1 else theirs.pixel_array[0]
        if theirs.PhotometricInterpretation == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, theirs) >> 8
        assert np.array_equal(picture(parsers.render(path, Rendering())), pixels)


def picture(raw: bytes) -> Any:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(raw)))


def model_of(theirs: pydicom.Dataset) -> dict[str, Any]:
    text = theirs.to_json(
        bulk_data_threshold=1366, bulk_data_element_handler=lambda _: "there", suppress_invalid_tags=True
    )
    made = json.loads(text)
    assert isinstance(made, dict)
    return made


def compared(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """pydicom leaves out what it cannot convert, and writes words of big endian files as they lie in the file."""
    for tag in theirs.keys() - {"00080005"}:
        if tag.endswith("0000") or tag.startswith("0002"):
            continue
        one, other = ours[tag], theirs[tag]
        assert one["vr"] == other["vr"] or tag == "7FE00010"
        if one["vr"] == "SQ":
            for mine, its in zip(one.get("Value", []), other.get("Value", []), strict=True):
                compared(mine, its)
        elif "BulkDataURI" not in one and "InlineBinary" not in one:
            assert plain(one.get("Value")) == plain(other.get("Value")), tag


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value.strip(" \x00") or None if isinstance(value, str) else value
