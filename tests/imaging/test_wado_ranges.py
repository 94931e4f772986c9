"""WADO-RS: one instance as its file, whole or a range of it; nothing of it before the whole was found right."""

from collections.abc import Callable

import httpx
import pytest
from starlette.testclient import TestClient

from api.imaging import objects
from models.imaging.stores.places import DicomObject
from tests.api.helpers import make_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture
from tests.vitals.serving import served

pytestmark = pytest.mark.api
BASE = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances"
PATH = f"{BASE}/{SERIES}.1"
FILE = ct(1)
SIZE = len(FILE)
DICOM = {"Accept": "application/dicom"}
RELATED = {"Accept": 'multipart/related; type="application/dicom"'}


@pytest.fixture
def http(clinic: Clinic) -> TestClient:
    clinic.stow(FILE)
    return clinic.technician


def test_the_file_is_answered_in_ranges(http: TestClient) -> None:
    whole = http.get(PATH, headers=DICOM)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, FILE, "bytes")
    assert (whole.headers["content-length"], whole.headers["vary"]) == (str(SIZE), "Accept")
    assert not whole.headers["etag"].startswith("W/")
    for asked, first, last in (
        ("bytes=0-9", 0, 9),
        ("bytes=128-131", 128, 131),
        (f"bytes={SIZE - 3}-", SIZE - 3, SIZE - 1),
        ("bytes=-5", SIZE - 5, SIZE - 1),
        (f"bytes=100-{SIZE * 2}", 100, SIZE - 1),
    ):
        part = http.get(PATH, headers=DICOM | {"Range": asked})
        assert (part.status_code, part.content) == (206, FILE[first : last + 1]), asked
        assert part.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
        assert part.headers["content-length"] == str(last + 1 - first)
        assert part.headers["content-type"] == "application/dicom"
        assert part.headers["etag"] == whole.headers["etag"]
    for asked in (f"bytes={SIZE}-", "bytes=-0"):
        beyond = http.get(PATH, headers=DICOM | {"Range": asked})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{SIZE}"), asked
    for asked in ("bytes=1-0", "bytes=0-1,4-5", "lines=1-2", "bytes=-"):
        assert http.get(PATH, headers=DICOM | {"Range": asked}).content == FILE, asked


def test_a_download_goes_on_only_with_the_very_same_file(http: TestClient) -> None:
    etag = http.get(PATH, headers=DICOM).headers["etag"]
    for condition, status in ((etag, 206), (f"W/{etag}", 200), ('"x"', 200), ("Wed, 21 Oct 2026 07:28:00 GMT", 200)):
        answer = http.get(PATH, headers=DICOM | {"Range": "bytes=10-", "If-Range": condition})
        assert answer.status_code == status, condition
        assert answer.content == (FILE[10:] if status == 206 else FILE)
    has_it = http.get(PATH, headers=DICOM | {"Range": "bytes=10-", "If-None-Match": etag})
    assert (has_it.status_code, has_it.headers["vary"]) == (304, "Accept")


def test_parts_stay_whole_and_have_another_validator(http: TestClient) -> None:
    whole = http.get(PATH, headers=RELATED)
    assert (whole.headers["etag"][:2], whole.headers["vary"]) == ("W/", "Accept")
    assert "accept-ranges" not in whole.headers
    assert whole.headers["etag"].removeprefix("W/") != http.get(PATH, headers=DICOM).headers["etag"]
    for more in ({}, {"If-Range": whole.headers["etag"]}):
        answer = http.get(PATH, headers=RELATED | {"Range": "bytes=0-9"} | more)
        assert (answer.status_code, len(answer.content)) == (200, len(whole.content))
        assert "content-range" not in answer.headers


def test_of_a_picture_a_range_is_of_the_file_made_of_it(clinic: Clinic) -> None:
    order = clinic.order(clinic.patient(), accession_number="A1")
    content = picture()
    declared = clinic.declare([content], radiology_order_id=order, images=[{"mime_type": "image/jpeg"}])
    [upload] = declared.json()["uploads"]
    assert clinic.send(upload["id"], content).status_code in (200, 201)
    [row] = clinic.rows(
        "SELECT y.study_uid, s.series_uid, i.image_uid, i.wrapped_size FROM radiology_image i "
        "JOIN radiology_series s ON s.id = i.series_id JOIN radiology_study y ON y.id = s.study_id"
    )
    path = f"/dicom-web/studies/{row.study_uid}/series/{row.series_uid}/instances/{row.image_uid}"
    whole = clinic.technician.get(path, headers=DICOM).content
    part = clinic.technician.get(path, headers=DICOM | {"Range": "bytes=128-"})
    assert (part.status_code, part.content) == (206, whole[128:])
    assert part.headers["content-range"] == f"bytes 128-{row.wrapped_size - 1}/{row.wrapped_size}"


@pytest.mark.parametrize("small", [objects.SMALL_BYTES, 1000])
def test_one_changed_bit_is_found_before_a_range_goes_out(
    clinic: Clinic, http: TestClient, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(objects, "SMALL_BYTES", small)
    [path] = clinic.objects()
    path.chmod(0o600)
    path.write_bytes(FILE[:-1] + bytes([FILE[-1] ^ 1]))
    for _ in range(2):
        answer = http.get(PATH, headers=DICOM | {"Range": "bytes=0-9"})
        assert (answer.status_code, answer.json()["error"][-10:]) == (500, "is corrupt")
    assert clinic.rows("SELECT problem FROM radiology_image") == [("corrupt",)]


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_file_found_right_a_moment_ago_is_at_least_as_long_as_it_was(
    clinic: Clinic, http: TestClient, harm: str
) -> None:
    assert http.get(PATH, headers=DICOM | {"Range": "bytes=0-9"}).status_code == 206
    [path] = clinic.objects()
    path.chmod(0o600)
    path.write_bytes(FILE[:100])
    if harm == "gone":
        path.unlink()
    answer = http.get(PATH, headers=DICOM | {"Range": "bytes=50-2000"})
    assert answer.status_code == 500
    assert clinic.rows("SELECT problem FROM radiology_image") == [("corrupt" if harm == "cut" else "missing",)]


def test_a_file_found_right_is_not_read_through_for_each_range(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int | None]] = []
    opened = objects.Reader._opened

    def noted(reader: objects.Reader, found: DicomObject, start: int = 0, length: int | None = None) -> object:
        read.append((start, length))
        return opened(reader, found, start, length)

    monkeypatch.setattr(objects.Reader, "_opened", noted)
    for number in range(3):
        part = http.get(PATH, headers=DICOM | {"Range": f"bytes={number}-{number}"})
        assert part.content == FILE[number : number + 1]
    assert read == [(0, None), (1, 1), (2, 1)]


def test_a_range_is_of_get_alone(clinic: Clinic, http: TestClient) -> None:
    token = make_token(clinic.tenant_id, int(http.headers["X-Test-User"]))
    values = f"{PATH}/bulkdata/7FE00010"
    with served() as address, httpx.Client(base_url=address, trust_env=False, headers=DICOM) as asking:
        asking.headers["Authorization"] = f"Bearer {token}"
        for path, more in ((PATH, {}), (values, {"Accept": "application/octet-stream"})):
            for asked in ("bytes=0-9", "bytes=999999999-"):
                head = asking.head(path, headers=more | {"Range": asked})
                assert (head.status_code, head.headers["accept-ranges"]) == (200, "bytes"), path
                assert int(head.headers["content-length"]) == (SIZE if path == PATH else 2048)
            assert asking.get(path, headers=more | {"Range": "bytes=0-9"}).status_code == 206


def test_nobody_has_a_range_of_what_they_may_not_see(
    clinic: Clinic, http: TestClient, make_clinic: Callable[[str], Clinic]
) -> None:
    for stranger in (clinic.doctor, make_clinic("south").technician):
        assert stranger.get(PATH, headers=DICOM | {"Range": "bytes=0-9"}).status_code == 404
