"""DICOMweb with the objects on a real S3 server: what a viewer asks for is what was stored there."""

import hashlib
import io
import json
from collections import Counter

import numpy as np
import pydicom
import pytest
from PIL import Image
from starlette.testclient import TestClient

from api.imaging import objects
from models.kernel.settings import settings
from tasks.clients.storage.backends import storage_for
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.s3_servers import S3Server

pytestmark = pytest.mark.api
PLACE = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1"
OCTETS = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@pytest.fixture
def on_s3(clinic: Clinic, moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """A clinic whose images go there."""
    for name, value in moto.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    for each in list(storage_for("s3", clinic.slug).list()):  # of another test: the server stays
        storage_for("s3", clinic.slug).remove(each.key)
    return clinic


def only_part(browser: TestClient, path: str) -> bytes:
    answer = browser.get(path, headers={"Accept": OCTETS})
    assert answer.status_code == 200, answer.text
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].partition(";")[0].strip('"')
    content: bytes = answer.content
    return content.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--" + boundary.encode())[0]


@pytest.mark.parametrize("small_bytes", [objects.SMALL_BYTES, 1000])  # read at one go, and in pieces
def test_what_viewers_ask_for_comes_from_s3_as_it_was_stored(
    on_s3: Clinic, small_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "SMALL_BYTES", small_bytes)
    file, browser = ct(size=64), on_s3.technician
    pixels = pydicom.dcmread(io.BytesIO(file)).PixelData
    assert on_s3.stow(file).status_code == 200
    [row] = on_s3.rows("SELECT backend, file_key, checksum FROM radiology_image")
    assert (row.backend, row.checksum, on_s3.objects()) == ("s3", hashlib.sha256(file).hexdigest(), [])

    [metadata] = json.loads(browser.get(f"{PLACE}/metadata").content)
    assert (metadata["00080018"]["Value"], metadata["00280010"]["Value"]) == ([f"{SERIES}.1"], [64])
    assert only_part(browser, f"{PLACE}/frames/1") == pixels
    bulk = metadata["7FE00010"]["BulkDataURI"]
    assert only_part(browser, bulk[bulk.index("/dicom-web/") :]) == pixels
    shown = browser.get(f"{PLACE}/rendered", headers={"Accept": "image/png"})
    picture = np.asarray(Image.open(io.BytesIO(shown.content)).convert("L"))
    assert (shown.status_code, picture.shape) == (200, (64, 64))
    assert picture[0, 0] < picture[-1, -1]
    whole = browser.get(PLACE, headers={"Accept": "application/dicom"})
    assert (whole.status_code, whole.content) == (200, file)

    changed, storage = bytes([file[0] ^ 1]) + file[1:], storage_for("s3", on_s3.slug)
    storage.remove(row.file_key)
    path = on_s3.media / "changed"
    path.write_bytes(changed)
    digest = hashlib.sha256(changed).hexdigest()
    storage.put(row.file_key, path, sha256=digest, size=len(changed), mime_type="application/dicom")
    objects.REMEMBERED.forget()
    for suffix in ("", "/frames/1", "/rendered"):
        assert browser.get(f"{PLACE}{suffix}", headers={"Accept": "*/*"}).status_code == 500, suffix
    assert on_s3.rows("SELECT problem FROM radiology_image") == [("corrupt",)]


def test_files_sent_together_lie_there(on_s3: Clinic) -> None:
    files = [ct(number) for number in range(1, 13)]
    files[4] = ct(40)  # not the one it is declared as
    images = [{"image_uid": f"{SERIES}.{number}", "series_uid": SERIES} for number in range(1, 13)]
    uploads = on_s3.declare(files, study_uid=STUDY, images=images).json()["uploads"]
    sent = {one["id"]: file for one, file in zip(uploads, files, strict=True)}
    answer = on_s3.send_together(sent)
    assert answer.status_code == 200, answer.text
    assert Counter(one["upload"]["state"] for one in answer.json()["uploads"]) == {"stored": 11, "held": 1}
    storage = storage_for("s3", on_s3.slug)
    there = {b"".join(storage.read(each.key)) for each in storage.list()}
    assert there == set(files) - {files[4]}
    assert on_s3.rows("SELECT DISTINCT backend FROM radiology_image") == [("s3",)]
    assert [path.read_bytes() for path in on_s3.spool()] == [files[4]]
    assert on_s3.objects() == []
