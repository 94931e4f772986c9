"""A clinic with a patient, people who order, take and read images, and what they send."""

import hashlib
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api import runs
from api.imaging import receiving, viewing
from api.imaging.noting import NOTED
from api.imaging.objects import REMEMBERED
from api.imaging.usage import Usage
from models.imaging.schemas import OrderIn
from models.imaging.stores.orders import create_order
from models.kernel.audit import SYSTEM
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from models.people.tables import Patient
from tasks.clients.dicom.pool import pool
from tests.api.helpers import make_user, signed_in
from tests.conftest import Database
from tests.factories import make_tenant
from tests.imaging.s3_servers import moto, swift

__all__ = ["moto", "swift"]
BINARIES = "/api/v1/radiology/uploads/binaries"


@dataclass
class Clinic:
    """One tenant with its people."""

    tenant_id: int
    slug: str
    media: Path

    def patient(self, code: str = "P123", *, family_name: str = "Doe", given_names: str = "Jo") -> int:
        with tenant_session(self.tenant_id) as session:
            patient = Patient(
                tenant_id=self.tenant_id, code=code, family_name=family_name, given_names=given_names, sex="female"
            )
            session.add(patient)
            session.flush()
            return patient.id

    def order(self, patient_id: int, **more: Any) -> int:
        """A radiology order's id."""
        given = OrderIn(patient_id=patient_id, **({"procedure": "CT of the chest", "modality": "CT"} | more))
        with tenant_session(self.tenant_id) as session:
            return create_order(session, self.tenant_id, SYSTEM, given, user_id=0).id

    def person(self, *roles: str) -> TestClient:
        """Somebody of these roles, signed in."""
        email = f"{secrets.token_hex(4)}@{self.slug}.example"
        user_id = make_user(self.tenant_id, email, *roles)
        browser = signed_in(email)
        browser.headers["X-Test-User"] = str(user_id)
        return browser

    @cached_property
    def technician(self) -> TestClient:
        return self.person("radiology_technician")

    @cached_property
    def doctor(self) -> TestClient:
        return self.person("doctor")

    def rows(self, query: str, **values: Any) -> list[Any]:
        """What the tenant has."""
        with tenant_session(self.tenant_id) as session:
            return list(session.execute(text(query), values).all())

    def stow(self, *files: bytes, study_uid: str = "", by: TestClient | None = None) -> httpx.Response:
        """Store by STOW-RS."""
        body, content_type = related(files)
        path = "/dicom-web/studies" + (f"/{study_uid}" if study_uid else "")
        answer: httpx.Response = (by or self.technician).post(
            path, content=body, headers={"Content-Type": content_type}
        )
        return answer

    def declare(self, files: Sequence[bytes], **more: Any) -> httpx.Response:
        """The first step of an upload in two; `images` of `more` replace what is said of each file by default."""
        images = more.pop("images", None) or [{} for _ in files]
        for index, (file, image) in enumerate(zip(files, images, strict=True)):
            image.setdefault("filename", f"image-{index}.dcm")
            image.setdefault("file_size", len(file))
            image.setdefault("checksum", hashlib.sha256(file).hexdigest())
        answer: httpx.Response = self.technician.post("/api/v1/radiology/uploads", json=more | {"images": images})
        return answer

    def send(self, upload_id: int, data: bytes, offset: int = 0) -> httpx.Response:
        """A part of the second step."""
        address = f"/api/v1/radiology/uploads/{upload_id}/binary"
        answer: httpx.Response = self.technician.patch(address, content=data, headers={"Upload-Offset": str(offset)})
        return answer

    def send_together(self, files: Mapping[Any, bytes]) -> httpx.Response:
        """The second step of several uploads, by their numbers."""
        body, content_type = form_of(files)
        answer: httpx.Response = self.technician.post(BINARIES, content=body, headers={"Content-Type": content_type})
        return answer

    def objects(self) -> list[Path]:
        """Every stored file of the tenant, the spool's not among them."""
        root = self.media / self.slug / "radiology"
        return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []

    def spool(self) -> list[Path]:
        """Files on their way."""
        root = self.media / self.slug / ".uploads"
        return sorted(root.iterdir()) if root.is_dir() else []


def related(files: Sequence[bytes], boundary: str = "b0unda2y") -> tuple[bytes, str]:
    """A multipart/related body of DICOM files, and its content type."""
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + file + b"\r\n" for file in files) + f"--{boundary}--\r\n".encode()
    return body, f'multipart/related; type="application/dicom"; boundary={boundary}'


def form_of(files: Mapping[Any, bytes], boundary: str = "b0unda2y") -> tuple[bytes, str]:
    """A form of files by the names of their fields, and its content type."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="%s"; filename="a.dcm"\r\n\r\n'
    body = b"".join((head % name).encode() + file + b"\r\n" for name, file in files.items())
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A folder to which nothing in `tmp_path` can be linked."""
    others = [place for place in ("/dev/shm", "/var/tmp", "/tmp") if Path(place).is_dir()]
    place = next((place for place in others if Path(place).stat().st_dev != tmp_path.stat().st_dev), None)
    if place is None:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=place, prefix="labwire-test-") as folder:
        yield Path(folder)


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(line, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(autouse=True)
def told_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours shows with its message."""
    monkeypatch.setenv("LABWIRE_DEBUG_ERRORS", "1")


@pytest.fixture(autouse=True)
def asked_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The flows that were asked for; there is no Prefect server to ask."""
    asked: list[str] = []
    wishes = runs.Wishes(lambda flow, parameters, key: asked.append(flow), slot_seconds=0)
    monkeypatch.setattr(runs, "_wishes", lambda: wishes)
    return asked


@pytest.fixture(autouse=True)
def no_uses_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process remembers of who looked at what: ids are the same in every test's database."""
    monkeypatch.setattr(viewing, "usage", Usage())
    NOTED.forget()
    REMEMBERED.forget()


@pytest.fixture(scope="session", autouse=True)
def parsers_end() -> Iterator[None]:
    """The parser processes of the tests' process end with it."""
    yield
    if pool.cache_info().currsize:
        pool().close()


@pytest.fixture
def media(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The root of images."""
    monkeypatch.setenv("LABWIRE_MEDIA_ROOT", str(tmp_path / "media"))
    settings.cache_clear()
    receiving._threads.cache_clear()
    NOTED.forget()
    REMEMBERED.forget()
    yield tmp_path / "media"
    settings.cache_clear()


@pytest.fixture
def make_clinic(media: Path) -> Callable[[str], Clinic]:
    """Another clinic."""
    return lambda slug: Clinic(make_tenant(slug), slug, media)


@pytest.fixture
def clinic(make_clinic: Callable[[str], Clinic]) -> Clinic:
    """The clinic of the test."""
    return make_clinic("north")


@pytest.fixture
def drop(clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A drop folder whose sources are taken at once; that they must settle first has tests of its own."""
    from tasks.imaging import sources
    from tests.imaging.drops import Drop  # they take seconds to import

    monkeypatch.setattr(sources, "SETTLED_SECONDS", 0.0)
    (tmp_path / "radiology" / "inbox").mkdir(parents=True)
    monkeypatch.setenv("LABWIRE_RADIOLOGY_INBOX_DIR", str(tmp_path / "radiology" / "inbox"))
    settings.cache_clear()
    return Drop(clinic, tmp_path / "radiology")
