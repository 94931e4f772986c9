"""Every file bundled with pydicom goes in and comes back byte by byte, or is refused with a reason."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from starlette.testclient import TestClient

from models.imaging.rules import why
from tests.imaging.conftest import Clinic

pytestmark = [pytest.mark.api, pytest.mark.slow]
ROOT = Path(pydicom.__file__).with_name("data")
FILES = sorted(path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
OCTETS = "multipart/related; type=application/octet-stream; transfer-syntax=*"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
AGAIN = (why("other_bytes"), why("study_of_another"))
"""Why a file is refused because of one before it: some share their UIDs, and go in at another clinic."""
REFUSED = {
    "not_an_image": """
        charset_files/FileInfo.txt hashes.json palettes/README.md test_files/README.txt test_files/crayons.icc
        test_files/dicomdirtests/README.txt test_files/dicomdirtests/TINY_ALPHA/README test_files/rtplan.dump
        test_files/rtstruct.dump test_files/test1.json test_files/test_PN.json test_files/zipMR.gz urls.json
        test_files/ExplVR_BigEndNoMeta.dcm test_files/ExplVR_LitEndNoMeta.dcm test_files/no_meta.dcm
        test_files/rtstruct.dcm
    """,
    "uids": """
        charset_files/chrSQEncoding.dcm charset_files/chrSQEncoding1.dcm
        palettes/fall.dcm palettes/hotiron.dcm palettes/hotmetalblue.dcm palettes/pet.dcm palettes/pet20step.dcm
        palettes/spring.dcm palettes/summer.dcm palettes/winter.dcm
        test_files/JPEGLSNearLossless_08.dcm test_files/JPEGLSNearLossless_16.dcm test_files/SC_rgb_jls_lossy_line.dcm
        test_files/SC_rgb_jls_lossy_sample.dcm test_files/UN_sequence.dcm test_files/empty_charset_LEI.dcm
        test_files/meta_missing_tsyntax.dcm test_files/nested_priv_SQ.dcm test_files/no_meta_group_length.dcm
        test_files/priv_SQ.dcm
    """,
    "length": "test_files/MR_truncated.dcm test_files/rtplan_truncated.dcm",
    "dicomdir": """
        test_files/dicomdirtests/DICOMDIR test_files/dicomdirtests/DICOMDIR-bigEnd
        test_files/dicomdirtests/DICOMDIR-empty.dcm test_files/dicomdirtests/DICOMDIR-implicit
        test_files/dicomdirtests/DICOMDIR-nooffset test_files/dicomdirtests/DICOMDIR-nopatient
        test_files/dicomdirtests/DICOMDIR-reordered test_files/dicomdirtests/TINY_ALPHA/DICOMDIR
    """,
}
"""Exactly these, by rule: no preamble or no DICOM at all, no UIDs of their own, cut, an index."""


def refused_because(answer: Any) -> str:
    """The one reason of a store that failed."""
    found = answer.json()
    [failed] = found.get("00081198", found.get("0008119A"))["Value"]
    return str(failed["00000902"]["Value"][0])


def stored_path(answer: Any) -> str:
    [stored] = answer.json()["00081199"]["Value"]
    return str(stored["00081190"]["Value"][0]).removeprefix("http://127.0.0.1:8000")


def test_the_corpus_is_there() -> None:
    assert len(FILES) > 200
    assert {path.relative_to(ROOT).parts[0] for path in FILES} >= {"test_files", "charset_files", "palettes"}


def test_each_file_comes_back_as_it_went_in_or_is_refused_with_its_reason(make_clinic: Callable[[str], Clinic]) -> None:
    clinics, refused, kept = [make_clinic("clinic-1")], {}, defaultdict[str, set[bytes]](set)
    for path in FILES:
        data = path.read_bytes()
        clinic, answer = stored_somewhere(clinics, make_clinic, data)
        if answer.status_code == 409:
            refused[path.relative_to(ROOT).as_posix()] = refused_because(answer)
            continue
        assert answer.status_code == 200, path.name
        kept[clinic.slug].add(data)
        place, browser = stored_path(answer), clinic.technician
        back = browser.get(place, headers={"Accept": "application/dicom"})
        assert back.content == data, path.name
        described(browser, place, path)
        frames_equal(browser, place, path)
        shown = browser.get(f"{place}/rendered", headers={"Accept": "image/png"})
        assert shown.status_code in (200, 404, 406), (path.name, shown.text)
    assert refused == {name: why(rule) for rule, names in REFUSED.items() for name in names.split()}
    for clinic in clinics:
        assert clinic.rows("SELECT count(*) FROM radiology_image") == [(len(kept[clinic.slug]),)]
        series_complete(clinic)


def stored_somewhere(
    clinics: list[Clinic], make_clinic: Callable[[str], Clinic], data: bytes
) -> tuple[Clinic, httpx.Response]:
    """At the first clinic that has no other file of its UIDs; where each has one, at a new one."""
    for clinic in clinics:
        answer = clinic.stow(data)
        if answer.status_code != 409 or refused_because(answer) not in AGAIN:
            return clinic, answer
    clinics.append(make_clinic(f"clinic-{len(clinics) + 1}"))
    return clinics[-1], clinics[-1].stow(data)


def series_complete(clinic: Clinic) -> None:
    """Each series' metadata has all of its images."""
    for series in clinic.rows(
        "SELECT y.study_uid, s.series_uid, s.image_count FROM radiology_series s JOIN radiology_study y "
        "ON y.tenant_id = s.tenant_id AND y.id = s.study_id"
    ):
        path = f"/dicom-web/studies/{series.study_uid}/series/{series.series_uid}/metadata"
        assert len(clinic.technician.get(path).json()) == series.image_count


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
