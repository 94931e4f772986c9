"""Every file bundled with pydicom goes in and comes back byte by byte, or is refused with a reason."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pydicom
import pytest
from starlette.testclient import TestClient

from tests.imaging.conftest import Clinic

pytestmark = [pytest.mark.api, pytest.mark.slow]
FILES = sorted(
    path for path in Path(pydicom.__file__).with_name("data").joinpath("test_files").rglob("*") if path.is_file()
)
OCTETS = "multipart/related; type=application/octet-stream; transfer-syntax=*"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
AGAIN = ("Another file is stored under this image UID", "The study is there already, with another patient")
"""Why a file is refused because of one before it: some of them share their UIDs."""


def refused_because(answer: Any) -> str:
    """The one reason of a store that failed."""
    found = answer.json()
    [failed] = found.get("00081198", found.get("0008119A"))["Value"]
    return str(failed["00000902"]["Value"][0])


def stored_path(answer: Any) -> str:
    [stored] = answer.json()["00081199"]["Value"]
    return str(stored["00081190"]["Value"][0]).removeprefix("http://127.0.0.1:8000")


def test_the_corpus_is_there() -> None:
    assert len(FILES) > 100


def test_each_file_comes_back_as_it_went_in_or_is_refused_with_a_reason(clinic: Clinic) -> None:
    browser, reasons, stored = clinic.technician, Counter[str](), 0
    for path in FILES:
        data = path.read_bytes()
        answer = clinic.stow(data)
        if answer.status_code == 409:
            reasons[refused_because(answer)] += 1
            if data[128:132] == b"DICM" and refused_because(answer) not in AGAIN:
                refused_rightly(path)
            continue
        assert answer.status_code == 200, path.name
        stored += 1
        place = stored_path(answer)
        back = browser.get(place, headers={"Accept": "application/dicom"})
        assert back.content == data, path.name
        described(browser, place, path)
        frames_equal(browser, place, path)
        shown = browser.get(f"{place}/rendered", headers={"Accept": "image/png"})
        assert shown.status_code in (200, 404, 406), (path.name, shown.text)
    assert stored > 60, reasons
    assert sum(reasons.values()) == len(FILES) - stored
    for series in clinic.rows(
        "SELECT y.study_uid, s.series_uid, s.image_count FROM radiology_series s JOIN radiology_study y "
        "ON y.tenant_id = s.tenant_id AND y.id = s.study_id"
    ):
        metadata = browser.get(f"/dicom-web/studies/{series.study_uid}/series/{series.series_uid}/metadata")
        assert len(metadata.json()) == series.image_count


def refused_rightly(path: Path) -> None:
    """A DICOM file that is refused has no UIDs of its own, is an index, or is cut."""
    try:
        read = pydicom.dcmread(path, force=True)
        uids = [read.get(name) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
        is_index = read.file_meta.get("MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10"
        assert not all(uids) or is_index or "bad" in path.name or "trunc" in path.name or "no_meta" in path.name
    except (EOFError, ValueError, KeyError):
        return


def described(browser: TestClient, place: str, path: Path) -> None:
    answer = browser.get(f"{place}/metadata")
    assert answer.status_code == 200, path.name
    [metadata] = json.loads(answer.content)
    read = pydicom.dcmread(path, stop_before_pixels=True)
    assert metadata["00080018"]["Value"] == [str(read.SOPInstanceUID)]
    assert metadata["00083002"]["Value"][0].startswith("1.2.840.10008.1.2")


def frames_equal(browser: TestClient, place: str, path: Path) -> None:
    read = pydicom.dcmread(path)
    if "PixelData" not in read or read.file_meta.get("TransferSyntaxUID") not in NATIVE or read.BitsAllocated == 1:
        return
    if not str(read.get("NumberOfFrames") or 1).isdecimal():
        return
    count = int(read.get("NumberOfFrames") or 1)
    size = read.Rows * read.Columns * read.SamplesPerPixel * read.BitsAllocated // 8
    if read.PhotometricInterpretation == "YBR_FULL_422":
        size = size * 2 // 3
    for number in {1, count}:
        answer = browser.get(f"{place}/frames/{number}", headers={"Accept": OCTETS})
        expected = read.PixelData[(number - 1) * size : number * size]
        if len(expected) < size:
            assert answer.status_code in (200, 404), path.name
            continue
        head, _, body = answer.content.partition(b"\r\n\r\n")
        assert body.startswith(expected), path.name
        assert len(body.rpartition(b"\r\n--")[0].rpartition(b"\r\n--")[0] or body) >= size
        assert b"Content-Length: " + str(size).encode() in head or size % 2, path.name
