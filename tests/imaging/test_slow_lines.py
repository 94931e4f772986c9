"""A sender that keeps a connection with a byte now and then is let go; one that is merely slow is not."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from api.imaging import receiving
from tests.api.helpers import make_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.vitals.serving import served

pytestmark = pytest.mark.api
PATIENCE = 1.0


def trickle(line: socket.socket, data: bytes, pause: float, is_over: threading.Event) -> None:
    """Byte after byte, each sooner than a dead line is let go."""
    with suppress(OSError):
        for at in range(len(data)):
            line.sendall(data[at : at + 1])
            if is_over.wait(pause):
                return


def status_of(line: socket.socket) -> bytes:
    return line.recv(4096).split(b" ")[1]


@pytest.fixture
def begin(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, bytes], socket.socket]:
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", PATIENCE)
    token = make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"]))

    def send(address: str, upload_id: int, data: bytes) -> socket.socket:
        place = urlsplit(address)
        head = (
            f"PATCH /api/v1/radiology/uploads/{upload_id}/binary HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Authorization: Bearer {token}\r\nUpload-Offset: 0\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        line = socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=20)
        line.sendall(head.encode())
        return line

    return send


def declared(clinic: Clinic) -> int:
    said = {"image_uid": f"{SERIES}.1", "series_uid": SERIES, "filename": "a.dcm"}
    return int(clinic.declare([ct()], study_uid=STUDY, images=[said]).json()["uploads"][0]["id"])


def test_a_byte_now_and_then_holds_no_connection_and_what_came_is_kept(
    clinic: Clinic, begin: Callable[[str, int, bytes], socket.socket]
) -> None:
    upload_id, is_over = declared(clinic), threading.Event()
    with served() as address, begin(address, upload_id, ct()) as line:
        trickling = threading.Thread(target=trickle, args=(line, ct(), PATIENCE / 4, is_over))
        trickling.start()
        try:
            assert status_of(line) == b"503"
        finally:
            is_over.set()
            trickling.join()
    path = f"/api/v1/radiology/uploads/{upload_id}/binary"
    kept = int(clinic.technician.head(path).headers["Upload-Offset"])
    assert 0 < kept < len(ct())
    assert clinic.send(upload_id, ct()[kept:], kept).json()["state"] == "stored"


def test_a_slow_line_may_take_its_time(
    clinic: Clinic, begin: Callable[[str, int, bytes], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "LEAST_BYTES_A_SECOND", 100)
    upload_id = declared(clinic)
    with served() as address, begin(address, upload_id, ct()) as line:
        for at in range(0, len(ct()), 400):
            line.sendall(ct()[at : at + 400])
            time.sleep(PATIENCE / 3)
        assert status_of(line) == b"200"
    assert len(clinic.objects()) == 1
