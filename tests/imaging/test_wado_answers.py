"""WADO-RS: objects, metadata, frames, values and pictures, each as its status, type and validator say."""

import hashlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from starlette.testclient import TestClient

from models.imaging.ports import NotAnImageError
from models.kernel.errors import HeldError
from tasks.clients.dicom.pool import ParserPool
from tests.api.helpers import audited, client
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api
PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1"


@pytest.fixture
def http(clinic: Clinic) -> TestClient:
    return clinic.technician


def sample(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    with open(path, "rb") as file:
        return file.read()


def uids_of(data: bytes) -> tuple[str, str, str]:
    read = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return str(read.StudyInstanceUID), str(read.SeriesInstanceUID), str(read.SOPInstanceUID)


def without_pixels(data: bytes) -> bytes:
    read = pydicom.dcmread(io.BytesIO(data))
    del read.PixelData
    return written(read)


def written(dataset: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_thumbnails_and_pictures_stand_for_series_and_study(clinic: Clinic, http: TestClient) -> None:
    clinic.stow(
        *(ct(number, size=200) for number in (1, 2, 3)),
        without_pixels(ct(1, series_uid=f"{STUDY}.9", Rows=None, Columns=None, SeriesNumber=0)),
    )
    base = f"/dicom-web/studies/{STUDY}"
    series = f"{base}/series/{SERIES}"
    for path, size in (
        (f"{base}/thumbnail", 128),
        (f"{series}/thumbnail", 128),
        (f"{PATH}/thumbnail", 128),
        (f"{PATH}/frames/1/thumbnail", 128),
        (f"{PATH}/thumbnail?viewport=40,40", 40),
        (f"{base}/rendered", 200),
        (f"{series}/rendered", 200),
    ):
        first = http.get(path, headers={"Accept": "image/png"})
        assert (first.status_code, first.headers["content-type"]) == (200, "image/png"), path
        assert Image.open(io.BytesIO(first.content)).size == (size, size), path
        assert http.get(path, headers={"Accept": "image/png"}).content == first.content
        etag = first.headers["etag"]
        assert http.get(path, headers={"Accept": "image/png", "If-None-Match": etag}).status_code == 304
    middle = http.get(f"{series}/instances/{SERIES}.2/rendered", headers={"Accept": "image/png"})
    assert http.get(f"{base}/rendered", headers={"Accept": "image/png"}).content == middle.content
    best, worst = (http.get(f"{PATH}/rendered?quality={quality}").content for quality in (100, 1))
    assert len(best) > len(worst)
    unshown = f"{base}/series/{STUDY}.9/instances/{STUDY}.9.1/rendered"
    assert http.get(unshown).status_code == 406
    assert http.get(f"{base}/series/{STUDY}.9/thumbnail").status_code == 404


def test_what_cannot_be_given_is_said_by_its_status(clinic: Clinic, http: TestClient) -> None:
    clinic.stow(ct(1))
    related = "multipart/related; type="
    for path, accept, status in (
        (PATH, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90", 406),
        (PATH, f'{related}"application/dicom"; transfer-syntax=1.2.840.10008.1.2.1', 200),
        (PATH, "text/plain", 406),
        (PATH, f'{related}"application/dicom+xml"', 406),
        (f"/dicom-web/studies/{STUDY}", "application/dicom", 200),
        (f"{PATH}/metadata", "application/dicom+xml", 406),
        (f"{PATH}/frames/1", f"{related}image/jpeg", 406),
        (f"{PATH}/frames/1", f"{related}application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50", 406),
        (f"{PATH}/frames/1", "application/octet-stream", 200),
        (f"{PATH}/frames/1,2", "*/*", 404),
        (f"{PATH}/frames/0", "*/*", 400),
        (f"{PATH}/frames/one", "*/*", 400),
        (f"{PATH}/frames/1,", "*/*", 400),
        (f"{PATH}/frames/2/rendered", "*/*", 404),
        (f"{PATH}/frames/1,2/rendered", "*/*", 400),
        (f"{PATH}/rendered", "application/pdf", 406),
        (f"{PATH}/rendered?window=1", "*/*", 400),
        (f"{PATH}/rendered?window=1,0,linear", "*/*", 400),
        (f"{PATH}/rendered?window=1,2,sigmoid", "*/*", 400),
        (f"{PATH}/rendered?viewport=0,1", "*/*", 400),
        (f"{PATH}/rendered?viewport=nan,1", "*/*", 400),
        (f"{PATH}/rendered?quality=101", "*/*", 400),
        (f"{PATH}/rendered?rotate=90", "*/*", 400),
        (f"{PATH}/bulkdata/00091001", "*/*", 404),
        (f"{PATH}/bulkdata/..%2F..%2Fx", "*/*", 404),
        (f"{PATH}/bulkdata/7FE00010", "image/jpeg", 406),
        (f"/dicom-web/studies/1.2/series/{SERIES}/instances/{SERIES}.1", "*/*", 404),
        (f"/dicom-web/studies/{STUDY}/series/1.2/metadata", "*/*", 404),
        (f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/1.2/frames/1", "*/*", 404),
        ("/dicom-web/studies/1.02", "*/*", 422),
    ):
        answer = http.get(path, headers={"Accept": accept})
        assert answer.status_code == status, (path, accept, answer.text[:200])


def test_ranges_and_validators(clinic: Clinic, http: TestClient) -> None:
    clinic.stow(ct(1))
    pixels = pydicom.dcmread(io.BytesIO(ct(1))).PixelData
    place = f"{PATH}/bulkdata/7FE00010"
    for header, status, content in (
        ("bytes=0-9", 206, pixels[:10]),
        ("bytes=2000-", 206, pixels[2000:]),
        ("bytes=-5", 206, pixels[-5:]),
        ("bytes=0-999999", 200, pixels),
        ("bytes=1-0", 200, pixels),
        ("bytes=0-1,4-5", 200, pixels),
    ):
        answer = http.get(place, headers={"Range": header})
        assert (answer.status_code, answer.content) == (status, content), header
    beyond = http.get(place, headers={"Range": "bytes=999999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(pixels)}")
    assert http.get(place, headers={"Range": "bytes=2-3"}).headers["content-range"] == f"bytes 2-3/{len(pixels)}"
    for path in (
        PATH,
        f"{PATH}/metadata",
        f"{PATH}/frames/1",
        place,
        f"/dicom-web/studies/{STUDY}/series/{SERIES}/metadata",
    ):
        etag = http.get(path).headers["etag"]
        again = http.get(path, headers={"If-None-Match": f'"x", {etag}'})
        assert (again.status_code, again.content) == (304, b""), path
        assert http.get(path, headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("error", [HeldError("parser_died", "gone"), NotAnImageError("pixels", "too many")])
def test_what_cannot_be_drawn_is_not_acceptable(
    clinic: Clinic, http: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    clinic.stow(ct(1))

    def render(*given: Any) -> bytes:
        raise error

    monkeypatch.setattr(ParserPool, "render", render)
    for suffix in ("/rendered", "/thumbnail"):
        assert http.get(PATH + suffix).status_code == 406
    assert http.get(PATH + "/frames/1").status_code == 200


def test_metadata_is_made_once_and_again_when_an_image_came(clinic: Clinic, http: TestClient) -> None:
    clinic.stow(*(ct(number) for number in (1, 2)))
    path = f"/dicom-web/studies/{STUDY}/series/{SERIES}/metadata"
    first = http.get(path)
    assert first.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in first.headers["vary"]
    plain = http.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json() == first.json() == http.get(f"/dicom-web/studies/{STUDY}/metadata").json()
    made = clinic.rows("SELECT created_at, image_count FROM series_metadata")
    http.get(path)
    assert clinic.rows("SELECT created_at, image_count FROM series_metadata") == made
    clinic.stow(ct(3), ct(4, series_uid=f"{STUDY}.9"))
    assert [one["00200013"]["Value"] for one in http.get(path).json()] == [[1], [2], [3]]
    assert clinic.rows("SELECT image_count FROM series_metadata") == [(3,)]
    for encoding in ("gzip", "identity"):
        both = http.get(f"/dicom-web/studies/{STUDY}/metadata", headers={"Accept-Encoding": encoding}).json()
        assert [one["0020000E"]["Value"][0] for one in both] == [SERIES] * 3 + [f"{STUDY}.9"]


@pytest.mark.parametrize(
    ("charset", "name", "expected"),
    [
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
            {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"},
        ),
        ("ISO_IR 144", "Люксембург", {"Alphabetic": "Люксембург"}),
        ("ISO_IR 126", "Διονυσιος", {"Alphabetic": "Διονυσιος"}),
    ],
)
def test_names_of_any_charset_come_out_right(clinic: Clinic, charset: Any, name: str, expected: dict[str, str]) -> None:
    clinic.stow(ct(1, SpecificCharacterSet=charset, PatientName=name))
    browser = clinic.technician
    [study] = browser.get("/dicom-web/studies", params={"PatientName": expected["Alphabetic"]}).json()
    assert study["00100010"]["Value"] == [{"Alphabetic": expected["Alphabetic"]}]
    [instance] = browser.get("/dicom-web/instances", params={"includefield": "all"}).json()
    assert instance["00100010"]["Value"] == [{"Alphabetic": expected["Alphabetic"]}]
    [metadata] = browser.get(f"{PATH}/metadata").json()
    assert metadata["00100010"] == {"vr": "PN", "Value": [expected]}
    assert metadata["00080005"]["Value"] == ["ISO_IR 192"]


def test_compressed_frames_say_what_they_are(http: TestClient, clinic: Clinic) -> None:
    for name, media_type, syntax in (
        ("MR_small_jp2klossless.dcm", "image/jp2", "1.2.840.10008.1.2.4.90"),
        ("MR_small_jpeg_ls_lossless.dcm", "image/jls", "1.2.840.10008.1.2.4.80"),
        ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg", "1.2.840.10008.1.2.4.50"),
        ("MR_small_RLE.dcm", "application/octet-stream", "1.2.840.10008.1.2.5"),
    ):
        data = sample(name)
        assert clinic.stow(data).status_code in (200, 409)
        study, series, image = uids_of(data)
        path = f"/dicom-web/studies/{study}/series/{series}/instances/{image}"
        if http.get(path, headers={"Accept": "application/dicom"}).content != data:
            continue  # these samples share UIDs: the first one is there
        accept = "multipart/related; type=application/octet-stream; transfer-syntax=*"
        frame = http.get(f"{path}/frames/1", headers={"Accept": accept})
        assert f"Content-Type: {media_type}; transfer-syntax={syntax}".encode() in frame.content, name
        strict = {"Accept": "multipart/related; type=application/octet-stream"}
        assert http.get(f"{path}/frames/1", headers=strict).status_code == 406


def test_bytes_that_changed_in_the_storage_are_told_to_nobody(clinic: Clinic, http: TestClient) -> None:
    clinic.stow(ct(1), ct(2), ct(3))
    for path in clinic.objects():
        path.chmod(0o600)
        if path.parent.name.endswith(".1"):
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        elif path.parent.name.endswith(".2"):
            path.unlink()
    octets = {"Accept": "application/octet-stream"}
    for suffix, accept in (
        *(("", {}), ("", {"Accept": "application/dicom"}), ("/frames/1", {}), ("/frames/1", octets)),
        *(("/rendered", {}), ("/bulkdata/7FE00010", {}), ("/bulkdata/7FE00010", octets), ("/thumbnail", {})),
    ):
        answer = http.get(PATH + suffix, headers=accept)
        assert (answer.status_code, answer.json()["error"][-10:]) == (500, "is corrupt"), suffix
    missing = http.get(PATH.removesuffix("1") + "2/frames/1")
    assert (missing.status_code, missing.json()["error"][-10:]) == (500, "is missing")
    assert http.get(PATH.removesuffix("1") + "3").status_code == 200
    assert clinic.rows("SELECT problem FROM radiology_image ORDER BY instance_number") == [
        *(("corrupt",), ("missing",), (None,))
    ]
    assert len(audited(clinic.tenant_id, "image.problem")) == 2


def test_nothing_opens_to_who_may_not_see_it(
    clinic: Clinic, make_clinic: Callable[[str], Clinic], http: TestClient
) -> None:
    clinic.stow(ct(1))
    south = make_clinic("south")
    south.stow(ct(1, PatientName="South^Sam"))
    series = f"/dicom-web/studies/{STUDY}/series/{SERIES}"
    paths = [f"/dicom-web/studies/{STUDY}", series, PATH]
    paths += [path + end for path in paths for end in ("/metadata", "/rendered", "/thumbnail")]
    paths += [
        f"{PATH}/frames/1",
        f"{PATH}/frames/1/rendered",
        f"{PATH}/frames/1/thumbnail",
        f"{PATH}/bulkdata/7FE00010",
    ]
    for path in paths:
        assert http.get(path).status_code == 200, path
        assert client().get(path).status_code == 401, path
        assert clinic.doctor.get(path).status_code == 404, path
    assert clinic.person("technician").get(PATH).status_code == 403
    ours, theirs = (browser.get(f"{PATH}/metadata").json() for browser in (clinic.technician, south.technician))
    assert ours[0]["00100010"]["Value"] == [{"Alphabetic": "Doe^Jo"}]
    assert theirs[0]["00100010"]["Value"] == [{"Alphabetic": "South^Sam"}]


def test_every_frame_of_many_is_the_right_one(clinic: Clinic, http: TestClient) -> None:
    frames = np.arange(7 * 16 * 16, dtype="<i2").reshape(7, 16, 16)
    file = pydicom.dcmread(io.BytesIO(ct(1, size=16)))
    file.NumberOfFrames, file.PixelData = 7, frames.tobytes()
    assert clinic.stow(written(file)).status_code == 200
    headers = {"Accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}
    answer = http.get(f"{PATH}/frames/7,1,3", headers=headers)
    boundary = answer.headers["content-type"].rpartition("boundary=")[2]
    parts = answer.content.split(f"--{boundary}".encode())
    assert parts[-1] == b"--\r\n"
    bodies = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts[1:-1]]
    assert bodies == [frames[number - 1].tobytes() for number in (7, 1, 3)]
    assert http.get(f"{PATH}/frames/8", headers=headers).status_code == 404
    assert hashlib.sha256(http.get(PATH, headers={"Accept": "application/dicom"}).content).hexdigest() == (
        clinic.rows("SELECT checksum FROM radiology_image")[0].checksum
    )
