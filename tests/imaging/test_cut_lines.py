"""A line that breaks: what came is kept, the rest is sent, and the image is there once with the right checksum."""

import random
import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from api.imaging import receiving
from tests.api.helpers import make_token
from tests.imaging.conftest import Clinic, related
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.vitals.serving import served

pytestmark = pytest.mark.api
CUTS = 50


@pytest.fixture
def address() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def token(clinic: Clinic) -> str:
    return make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"]))


def cut(address: str, token: str, path: str, part: bytes, offset: int, *, after: int) -> None:
    """Begin to send a part, and break the line after so many bytes of it."""
    place = urlsplit(address)
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Upload-Offset: {offset}\r\nContent-Length: {len(part)}\r\n\r\n"
    )
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as line:
        line.sendall(head.encode() + part[:after])
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # cut, not closed


def offset_of(client: httpx.Client, path: str) -> int:
    return int(client.head(path).headers["Upload-Offset"])


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_cut_at_fifty_random_positions_it_ends_as_one_image(clinic: Clinic, address: str, token: str) -> None:
    file, chance = ct(size=256), random.Random(11)
    declared = clinic.declare(
        [file], study_uid=STUDY, images=[{"image_uid": f"{SERIES}.1", "series_uid": SERIES, "filename": "a.dcm"}]
    )
    path = f"/api/v1/radiology/uploads/{declared.json()['uploads'][0]['id']}/binary"
    places = sorted(chance.sample(range(1, len(file)), CUTS))
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        for place in places:
            sent = offset_of(client, path)
            assert sent <= place
            cut(address, token, path, file[sent:], sent, after=place - sent)
        last = None
        for _ in range(100):  # the server may not have noticed yet that the line is gone
            sent = offset_of(client, path)
            last = client.patch(path, content=file[sent:], headers={"Upload-Offset": str(sent)})
            if last.status_code == 200:
                break
            assert last.status_code in (409, 503), last.text
            time.sleep(0.1)
        assert last is not None
        assert last.json()["state"] == "stored"
        assert sent > 0, "nothing of what came before the line broke was kept"
    assert [path.read_bytes() for path in clinic.objects()] == [file]
    assert clinic.rows("SELECT count(*) FROM radiology_image") == [(1,)]
    assert clinic.spool() == []


def test_a_stow_request_that_breaks_keeps_what_was_whole_and_leaves_nothing_else(
    clinic: Clinic, address: str, token: str
) -> None:
    files = [ct(number, size=800) for number in (1, 2, 3)]  # more than 1 MB, which is what waits in memory
    body, content_type = related(files)
    place = urlsplit(address)
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as line:
        line.sendall(head.encode() + body[: -len(files[2]) // 20])
        wait_until(lambda: len(clinic.spool()) == 3)
    wait_until(lambda: len(clinic.objects()) == 2 and clinic.spool() == [])
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(2,)]
    assert clinic.stow(*files).status_code == 200
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(3,)]


def test_a_sender_from_whom_nothing_comes_is_let_go_with_what_came(
    clinic: Clinic, address: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", 0.5)
    said = {"image_uid": f"{SERIES}.1", "series_uid": SERIES, "filename": "a.dcm"}
    [upload] = clinic.declare([ct()], study_uid=STUDY, images=[said]).json()["uploads"]
    place = urlsplit(address)
    head = (
        f"PATCH /api/v1/radiology/uploads/{upload['id']}/binary HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {token}\r\nUpload-Offset: 0\r\nContent-Length: {len(ct())}\r\n\r\n"
    )
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=20) as line:
        line.sendall(head.encode() + ct()[:100])
        assert b" 503 " in line.recv(4096).split(b"\r\n")[0]
    assert clinic.send(upload["id"], ct()[100:], 100).json()["state"] == "stored"
