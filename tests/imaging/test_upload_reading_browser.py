"""What the upload page reads of files in the browser: the UIDs pydicom finds, the SHA-256 Python computes."""

import base64
import hashlib
import io
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from playwright.sync_api import Browser, Page, expect
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.browser.conftest import chromium as chromium
from tests.imaging.browsing import Desks, desks_of
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct, picture
from tests.imaging.test_upload_browser import drop, opened, stored, sums

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
BUNDLED = sorted((Path(pydicom.__file__).parent / "data").rglob("*.dcm"))
READ = """async (files) => {
  const { readHeader } = await import("/static/upload_header.js");
  const bytes = (content) => Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  return Promise.all(files.map((content) => readHeader(new File([bytes(content)], "x"))));
}"""
HASH = """([content, times]) => new Promise((resolve) => {
  const worker = new Worker("/static/upload_hash.js");
  worker.onmessage = ({ data }) => { worker.terminate(); resolve(data.sha256); };
  const piece = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  worker.postMessage({ number: 1, file: new File(Array(times).fill(piece), "x"), isInPieces: true });
})"""


@pytest.fixture
def desks(clinic: Clinic, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desks]:
    with desks_of(clinic, chromium, monkeypatch) as made:
        yield made


@pytest.fixture
def page(desks: Desks) -> Page:
    page = desks.enter("rita", "radiology_technician")
    opened(page)
    return page


def headers(page: Page, *files: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(READ, [base64.b64encode(file).decode() for file in files])
    return found


def test_files_are_known_by_their_content_and_dicom_by_its_uids(page: Page) -> None:
    files = [path.read_bytes() for path in BUNDLED]
    read = 0
    for path, content, found in zip(BUNDLED, files, headers(page, *files), strict=True):
        if content[128:132] != b"DICM":
            assert found["kind"] == "none", path.name
        elif found["kind"] == "dicom":
            read += 1
            said = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            wanted = (said.StudyInstanceUID, said.SeriesInstanceUID, said.SOPInstanceUID)
            assert (found["study"], found["series"], found["image"]) == wanted, path.name
        else:
            assert found["kind"] == "whole", path.name
    assert read > 50
    jpeg, png, none = headers(page, picture(), picture("PNG"), b"MZ" + bytes(500))
    assert (jpeg["mime"], png["mime"], none["kind"]) == ("image/jpeg", "image/png", "none")


def test_forged_and_cut_headers_come_to_an_end(page: Page) -> None:
    whole = ct()
    endless = (
        whole[:132]
        + whole[132:400]
        + b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"
        + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * 9000
    )
    shuffled = bytearray(whole)
    for at in range(140, 900, 7):
        shuffled[at] ^= secrets.randbits(8)
    found = headers(page, whole[:200], whole[:500], endless, bytes(shuffled))
    assert {one["kind"] for one in found} <= {"whole", "dicom"}
    assert found[0]["kind"] == found[2]["kind"] == "whole"


def test_large_files_are_hashed_piece_by_piece(page: Page) -> None:
    for size, times in ((1, 1), (55, 1), (56, 1), (63, 1), (64, 1), (65, 1), (4 * 2**20, 2), (4 * 2**20 + 1, 3)):
        content = secrets.token_bytes(size)
        said = page.evaluate(HASH, [base64.b64encode(content).decode(), times])
        assert (size, said) == (size, hashlib.sha256(content * times).hexdigest())


def test_what_the_page_cannot_read_goes_whole_by_the_form(desks: Desks, page: Page) -> None:
    image = pydicom.dcmread(io.BytesIO(ct()))
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    files = {"deflated.dcm": file.getvalue()}
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url.rsplit("/", 1)[-1]))
    drop(page, files)
    expect(page.get_by_role("heading", name="All 1 stored")).to_be_visible()
    assert "images" in asked
    assert stored(desks.clinic) == sums(files)
