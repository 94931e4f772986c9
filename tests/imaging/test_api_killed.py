"""A real API process is killed in the middle of an upload; the next one goes on where the bytes ended."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import httpx
import psycopg2
import pytest

from tests.api.helpers import make_token
from tests.conftest import Database
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.lines import wait_until
from tests.launcher.running import PATIENCE_SECONDS
from tests.vitals.serving import Servers, servers

pytestmark = pytest.mark.chaos
FILE = ct(size=1300)
"""3 MB: it is written piece by piece."""


@contextmanager
def nothing_is_stored(database: Database) -> Iterator[None]:
    """Whoever would write an image's row waits."""
    with closing(psycopg2.connect(database.superuser_url)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE radiology_image IN EXCLUSIVE MODE")
        yield


def begin(hub: Servers, path: str, token: str, content: bytes) -> socket.socket:
    """Send the file's first bytes; the answer is never read."""
    place = urlsplit(hub.url)
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Upload-Offset: 0\r\nContent-Length: {len(FILE)}\r\n\r\n"
    )
    line = socket.create_connection((str(place.hostname), int(place.port or 0)))
    line.sendall(head.encode() + content)
    return line


def here(clinic: Clinic) -> int:
    """Bytes in the spool."""
    return sum(path.stat().st_size for path in clinic.spool())


def begun(clinic: Clinic, database: Database, hub: Servers, path: str, token: str, moment: str) -> None:
    """Send it, and kill the process at the moment."""
    sent = FILE[:2_500_000] if moment == "in the middle" else FILE
    if moment == "stored, not answered":
        line = begin(hub, path, token, sent)
        wait_until(lambda: clinic.rows("SELECT state FROM image_upload") == [("stored",)], PATIENCE_SECONDS)
    else:
        with nothing_is_stored(database):
            line = begin(hub, path, token, sent)
            least = 2_000_000 if moment == "in the middle" else len(FILE)
            wait_until(lambda: here(clinic) >= least, PATIENCE_SECONDS)
            hub.kill("api-1")
    if hub.running["api-1"].poll() is None:
        hub.kill("api-1")
    line.close()


@pytest.mark.parametrize("moment", ["in the middle", "after the last byte", "stored, not answered"])
def test_the_upload_goes_on_with_a_new_process_and_ends_as_one_image(
    clinic: Clinic, database: Database, moment: str
) -> None:
    token = make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"]))
    said = {"image_uid": f"{SERIES}.1", "series_uid": SERIES, "filename": "a.dcm"}
    [upload] = clinic.declare([FILE], study_uid=STUDY, images=[said]).json()["uploads"]
    path = f"/api/v1/radiology/uploads/{upload['id']}/binary"
    with servers("api-1") as hub:
        begun(clinic, database, hub, path, token, moment)
        kept = here(clinic)
        assert len(clinic.rows("SELECT 1 FROM radiology_image")) == (moment == "stored, not answered")
        hub.start("api-1")
        hub.wait()
        with httpx.Client(base_url=hub.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
            offset = int(client.head(path).headers["Upload-Offset"])
            assert offset == (len(FILE) if moment != "in the middle" else kept)
            assert 2_000_000 <= offset <= len(FILE)
            answer = client.patch(path, content=FILE[offset:], headers={"Upload-Offset": str(offset)}, timeout=60)
            assert (answer.status_code, answer.json()["state"]) == (200, "stored"), answer.text
            assert client.head(path).headers["Upload-Offset"] == str(len(FILE))
    stored_once(clinic)


def stored_once(clinic: Clinic) -> None:
    checksum = hashlib.sha256(FILE).hexdigest()
    assert clinic.rows("SELECT checksum, file_size FROM radiology_image") == [(checksum, len(FILE))]
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(1,)]
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in clinic.objects()] == [checksum]
    assert clinic.spool() == []
