"""An image's file comes back as it was stored, whole or in ranges; what is damaged is noted and not served."""

import hashlib
import os
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from api.imaging import file_serving, objects
from api.imaging.ranges import OutsideError, asked_range, has_it
from models.imaging.tickets import FileTicket, file_token
from models.kernel.settings import settings
from models.kernel.tenancy import owner_session
from tasks.clients.storage.backends import storage_for
from tests.api.helpers import audited, client
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import STUDY, ct
from tests.imaging.s3_servers import S3Server, moto  # noqa: F401 # a fixture
from tests.vitals.serving import served

pytestmark = pytest.mark.api
API = "/api/v1/radiology"


@dataclass
class Stored:
    """One stored image."""

    clinic: Clinic
    id: int
    content: bytes

    @property
    def path(self) -> str:
        return f"{API}/images/{self.id}/file"

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()}"'

    def get(self, method: str = "GET", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.clinic.doctor.request(method, self.path, headers=named)

    def object(self) -> Path:
        [path] = self.clinic.objects()
        return path

    def overwrite(self, content: bytes) -> None:
        """As a disk would that lies."""
        os.chmod(self.object(), 0o600)
        self.object().write_bytes(content)

    def problem(self) -> str | None:
        [row] = self.clinic.rows("SELECT problem FROM radiology_image")
        return None if row.problem is None else str(row.problem)


@pytest.fixture
def stored(clinic: Clinic) -> Stored:
    return store(clinic)


def store(clinic: Clinic) -> Stored:
    """Larger than two pieces of 256 KB."""
    clinic.order(clinic.patient(), accession_number="A1")
    content = ct(size=550, AccessionNumber="A1")
    assert clinic.stow(content).status_code == 200
    return Stored(clinic, int(clinic.rows("SELECT id FROM radiology_image")[0].id), content)


def test_the_whole_file_and_what_is_said_of_it(stored: Stored) -> None:
    answer = stored.get()
    assert (answer.status_code, answer.content) == (200, stored.content)
    said = {
        "Content-Type": "application/dicom",
        "Content-Length": str(len(stored.content)),
        "Content-Disposition": 'attachment; filename="instance.dcm"',
        "ETag": stored.etag,
        "Accept-Ranges": "bytes",
        "Repr-Digest": f"sha-256=:{b64encode(hashlib.sha256(stored.content).digest()).decode()}:",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    assert {name: answer.headers[name] for name in said} == said
    head = stored.get("HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers[name] for name in said} == said
    for header in (stored.etag, f'"x", W/{stored.etag}', "*"):
        known = stored.get(If_None_Match=header)
        assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", stored.etag)
    assert stored.get(If_None_Match='"x"').status_code == 200


def test_ranges(stored: Stored) -> None:
    size = len(stored.content)
    asked = {
        "bytes=0-0": (0, 0), "bytes=100-199": (100, 199), "bytes=262144-": (262144, size - 1),
        "bytes=-5": (size - 5, size - 1), f"bytes=10-{size * 9}": (10, size - 1), f"bytes=-{size * 9}": (0, size - 1),
    }  # fmt: skip
    for header, (first, last) in asked.items():
        answer = stored.get(Range=header)
        assert (answer.status_code, answer.content) == (206, stored.content[first : last + 1]), header
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert answer.headers["ETag"] == stored.etag
    for header in (f"bytes={size}-", f"bytes={size}-{size + 9}", "bytes=-0"):
        answer = stored.get(Range=header)
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}"), header
    for header in ("bytes=0-1,5-6", "bytes=9-1", "bytes=-", "bytes=x-2", "lines=1-2", "bytes=0-" + "9" * 30):
        assert stored.get(Range=header).status_code == 200, header
    assert stored.get(Range="bytes=0-1", If_Range=stored.etag).status_code == 206
    for other in ('"other"', f"W/{stored.etag}", "Thu, 26 Nov 2026 10:00:00 GMT"):
        assert stored.get(Range="bytes=0-1", If_Range=other).status_code == 200
    assert stored.get("HEAD", Range="bytes=0-1").headers["Content-Length"] == str(size)


@pytest.mark.parametrize("is_large", [False, True])
def test_a_file_of_another_size_or_none_is_noted_and_not_served(
    stored: Stored, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(file_serving, "CHECKED_FIRST_BYTES", 1000)
    stored.overwrite(stored.content[:-1])
    for answer in (stored.get(), stored.get(Range="bytes=0-9"), stored.get("HEAD")):
        assert answer.status_code == 500
    assert stored.get().json() == {
        "success": False, "error": f"the stored file of image {stored.id} is corrupt"
    }  # fmt: skip
    assert stored.problem() == "corrupt"
    stored.object().unlink()
    for answer in (stored.get(), stored.get(Range="bytes=0-9"), stored.get("HEAD")):
        assert answer.status_code == 500
    assert stored.problem() == "missing"
    rows = audited(stored.clinic.tenant_id, "image.problem")
    assert [row.changes["problem"] for row in rows] == [[None, "corrupt"], ["corrupt", "missing"]]
    assert stored.clinic.stow(stored.content).status_code == 200  # sent again, it is brought back
    assert (stored.get().content, stored.problem()) == (stored.content, None)


def test_one_changed_bit_is_found_before_the_first_byte_goes_out(stored: Stored) -> None:
    stored.overwrite(stored.content[:-1] + bytes([stored.content[-1] ^ 1]))
    answer = stored.get()
    assert (answer.status_code, stored.problem()) == (500, "corrupt")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("is_large", [False, True])
def test_one_changed_bit_is_found_before_a_range_goes_out(
    stored: Stored, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(objects, "SMALL_BYTES", 1000)
    changed = len(stored.content) // 2
    bit = bytes([stored.content[changed] ^ 1])
    stored.overwrite(stored.content[:changed] + bit + stored.content[changed + 1 :])
    for first, last in ((changed, changed), (0, 9)):  # the changed byte itself, and bytes that are right
        answer = stored.get(Range=f"bytes={first}-{last}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/json")
        assert stored.problem() == "corrupt"
    assert len(audited(stored.clinic.tenant_id, "image.problem")) == 1
    assert stored.clinic.stow(stored.content).status_code == 200  # sent again, it is brought back
    assert stored.get(Range=f"bytes={changed}-{changed}").content == stored.content[changed : changed + 1]


def test_a_file_found_right_is_not_read_through_for_each_range(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    kept = storage_for("filesystem", stored.clinic.slug)

    class Counting:
        stat = kept.stat

        def read(self, key: str, **more: Any) -> Any:
            for piece in kept.read(key, **more):
                read.append(len(piece))
                yield piece

    monkeypatch.setattr(objects, "storage_for", lambda *_: Counting())
    for number in range(3):
        assert stored.get(Range=f"bytes={number}-{number}").content == stored.content[number : number + 1]
    assert sum(read) == len(stored.content) + 2


def test_of_a_large_file_it_breaks_the_connection_before_the_last_piece(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_serving, "CHECKED_FIRST_BYTES", 1000)
    cookies = {"labwire_session": stored.clinic.doctor.cookies["labwire_session"]}
    with served() as url, httpx.Client(trust_env=False, cookies=cookies) as asker:
        assert asker.get(url + stored.path).content == stored.content
        stored.overwrite(bytes([stored.content[0] ^ 1]) + stored.content[1:])
        received = b""

        def fetch() -> None:
            nonlocal received
            with asker.stream("GET", url + stored.path) as answer:
                assert answer.status_code == 200
                for piece in answer.iter_raw():
                    received += piece

        with pytest.raises(httpx.RemoteProtocolError):
            fetch()
        assert 0 < len(received) < len(stored.content)
    assert stored.problem() == "corrupt"


def test_a_signed_address_opens_its_image_for_anybody_until_it_expires(stored: Stored) -> None:
    doctor_id = int(stored.clinic.doctor.headers["X-Test-User"])
    address = stored.clinic.doctor.get(f"{API}/images/{stored.id}/url/").json()["image_url"]
    stranger = client()
    assert stranger.get(address).content == stored.content
    assert stranger.head(address).status_code == 200
    assert stranger.get(address, headers={"Range": "bytes=0-1"}).content == stored.content[:2]
    assert stranger.get(address.replace("expires=3600", "expires=999999")).status_code == 200  # the token says when
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert stranger.request(method, address).status_code == 405
    tenant_id, now = stored.clinic.tenant_id, int(time.time())
    good = FileTicket(tenant_id, stored.id, doctor_id, now + 60)
    assert by_ticket(stranger, stored, good) == 200
    other = [
        FileTicket(tenant_id, stored.id, doctor_id, now - 1),
        FileTicket(tenant_id, stored.id + 1, doctor_id, now + 60),
        FileTicket(tenant_id, stored.id, doctor_id + 100, now + 60),
        FileTicket(tenant_id + 1, stored.id, doctor_id, now + 60),
    ]
    assert [by_ticket(stranger, stored, one) for one in other] == [401] * 4
    token = file_token(good)
    for changed in (token[:-2] + "AA", "A" + token, token.partition(".")[0], "", "ü", token * 9):
        status = stranger.get(stored.path, params={"token": changed}).status_code
        assert status in ((401, 422) if len(changed) > 400 else (401,)), changed


def test_a_signed_address_ends_with_its_users_rights(stored: Stored) -> None:
    address = stored.clinic.doctor.get(f"{API}/images/{stored.id}/url/").json()["image_url"]
    assert client().get(address).status_code == 200
    with owner_session() as session:
        session.execute(text("UPDATE radiology_study SET radiology_order_id = NULL"))
    assert client().get(address).status_code == 401
    of_technician = stored.clinic.technician.get(f"{API}/images/{stored.id}/url/").json()["image_url"]
    assert client().get(of_technician).status_code == 200
    with owner_session() as session:
        session.execute(text("UPDATE app_user SET is_active = false"))
    assert client().get(of_technician).status_code == 401


def test_looking_through_a_study_is_noted_once_and_named_with_whose_address_it_was(stored: Stored) -> None:
    address = stored.clinic.doctor.get(f"{API}/images/{stored.id}/url/").json()["image_url"]
    before = len(audited(stored.clinic.tenant_id, "patient.read"))
    for _ in range(3):
        assert client().get(address).status_code == 200
        assert stored.get().status_code == 200
    rows = audited(stored.clinic.tenant_id, "patient.read")[before:]
    assert {row.actor_id for row in rows} == {stored.clinic.doctor.headers["X-Test-User"]}
    assert [row.session_id == "image-url" for row in rows] == [True, False]


def test_on_s3_the_address_is_the_stores_own(
    clinic: Clinic,
    moto: S3Server,  # noqa: F811 # the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in moto.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    stored = store(clinic)
    address = clinic.doctor.get(f"{API}/images/{stored.id}/url/").json()["image_url"]
    assert address.startswith(f"{moto.url}/radiology/north/radiology/{STUDY}/")
    answer = httpx.get(address, trust_env=False)
    assert (answer.content, answer.headers["Content-Type"]) == (stored.content, "application/dicom")
    [series] = clinic.doctor.get(f"{API}/studies/1/images/").json()["series"]
    assert series["images"][0]["image_url"].startswith(moto.url)
    assert stored.get().content == stored.content  # for whoever is signed in, also through us
    assert stored.get(Range="bytes=5-9").content == stored.content[5:10]


def by_ticket(asker: TestClient, stored: Stored, ticket: FileTicket) -> int:
    return int(asker.get(stored.path, params={"token": file_token(ticket)}).status_code)


@pytest.mark.unit
def test_an_empty_file_has_no_range() -> None:
    with pytest.raises(OutsideError):
        asked_range(Headers({"range": "bytes=0-"}), 0, '"x"')
    assert asked_range(Headers({}), 0, '"x"') is None
    assert not has_it(Headers({}), '"x"')
