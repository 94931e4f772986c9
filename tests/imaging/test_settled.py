"""What is acknowledged is on the disk: a file is synced before anything durable refers to it, whatever door it came by.

Nothing here cuts the power: the system's calls are watched.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from models.imaging.stores import uploads
from models.kernel.audit import SYSTEM
from tasks.imaging import completing
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture

pytestmark = pytest.mark.api


class Disk:
    """Which files were synced since they were written, by inode; what was linked or renamed without it."""

    def __init__(self) -> None:
        self.synced: set[int] = set()
        self.unsynced: list[str] = []
        self.linked = 0

    def check(self, source: Any, folder: int | None = None) -> None:
        self.linked += 1
        if os.stat(source, dir_fd=folder, follow_symlinks=False).st_ino not in self.synced:
            self.unsynced.append(str(source))


@pytest.fixture
def disk(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Disk:
    seen, fsync, pwrite, link, replace = Disk(), os.fsync, os.pwrite, os.link, Path.replace

    def syncing(descriptor: int) -> None:
        fsync(descriptor)
        seen.synced.add(os.fstat(descriptor).st_ino)

    def writing(descriptor: int, *more: Any) -> int:
        seen.synced.discard(os.fstat(descriptor).st_ino)
        return pwrite(descriptor, *more)

    def linking(source: Any, target: Any, **more: Any) -> None:
        seen.check(source, more.get("src_dir_fd"))
        link(source, target, **more)

    def replacing(path: Path, target: Any) -> Path:
        if clinic.media in path.parents:
            seen.check(path)
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "pwrite", writing)
    monkeypatch.setattr(os, "link", linking)
    monkeypatch.setattr(Path, "replace", replacing)
    return seen


def _send(clinic: Clinic, file: bytes, *, parts: int = 1, **declared: Any) -> dict[str, Any]:
    answer = clinic.declare([file], images=[{"series_uid": SERIES} | declared], study_uid=STUDY)
    [upload] = answer.json()["uploads"]
    size = -(-len(file) // parts)
    for offset in range(0, len(file), size):
        told: dict[str, Any] = clinic.send(upload["id"], file[offset : offset + size], offset).json()
    return told


@pytest.mark.parametrize(("pixels", "parts"), [(32, 1), (32, 3), (1024, 1)])
def test_sent_in_two_steps(clinic: Clinic, disk: Disk, pixels: int, parts: int) -> None:
    told = _send(clinic, ct(size=pixels), parts=parts, image_uid=f"{SERIES}.1")
    assert told["state"] == "stored", told
    assert (disk.linked, disk.unsynced) == (1, [])


def test_sent_together(clinic: Clinic, disk: Disk) -> None:
    images = [{"series_uid": SERIES, "image_uid": f"{SERIES}.{number}"} for number in range(1, 7)]
    files = [ct(number) for number in range(1, 7)]
    files[3] = ct(9)  # not the one it says
    uploads = clinic.declare(files, images=images, study_uid=STUDY).json()["uploads"]
    ids = [one["id"] for one in uploads]
    answer = clinic.send_together(dict(zip(ids, files, strict=True)))
    assert [one["upload"]["state"] for one in answer.json()["uploads"]].count("stored") == 5
    [kept] = clinic.spool()
    assert kept.stat().st_ino in disk.synced
    assert (disk.linked, disk.unsynced) == (5, [])


@pytest.mark.parametrize("pixels", [32, 1024])
def test_held(clinic: Clinic, disk: Disk, pixels: int) -> None:
    told = _send(clinic, ct(size=pixels), image_uid=f"{SERIES}.2")  # not the one it says
    assert told["state"] == "held", told
    [kept] = clinic.spool()
    assert kept.stat().st_ino in disk.synced
    clinic.stow(ct(1))
    assert clinic.stow(ct(2, PatientID="another")).status_code == 409
    assert len(clinic.spool()) == 2
    assert (disk.linked, disk.unsynced) == (2, [])


def test_sent_by_stow_and_by_form(clinic: Clinic, disk: Disk) -> None:
    assert clinic.stow(*(ct(number) for number in range(1, 7))).status_code == 200
    assert disk.linked == 6
    order = clinic.order(clinic.patient())
    form = clinic.technician.post(
        "/api/v1/radiology/images",
        data={"radiology_order_id": str(order)},
        files={"file": ("a.jpg", picture(), "image/jpeg")},
    )
    assert form.status_code == 200, form.text
    assert (disk.linked, disk.unsynced) == (8, [])  # the picture, and its Secondary Capture


@pytest.mark.parametrize("door", ["sent", "completed"])
def test_what_is_held_keeps_its_name_too(clinic: Clinic, monkeypatch: pytest.MonkeyPatch, door: str) -> None:
    """Its sender is told that it is kept, and keeps nothing itself."""
    synced, told, fsync, hold = list[str](), list[str](), os.fsync, uploads.hold

    def syncing(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    def holding(*args: Any) -> Any:
        told.extend(synced)
        return hold(*args)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(uploads, "hold", holding)
    spool = clinic.media / clinic.slug / ".uploads"
    if door == "sent":
        number = _send(clinic, ct(), image_uid=f"{SERIES}.2")["id"]
    else:
        number = _send(clinic, ct()[:100], image_uid=f"{SERIES}.2", **_said(ct()))["id"]
        (spool / str(number)).write_bytes(ct())
        assert completing.complete("", SYSTEM, completing.Completing.finish).tally.message == "held 1"
    assert clinic.rows("SELECT state FROM image_upload") == [("held",)]
    assert told[-1] == str(spool)
    assert str(spool / str(number)) in told
    assert {str(clinic.media.parent), str(clinic.media), str(clinic.media / clinic.slug)} <= set(told)


def _said(file: bytes) -> dict[str, Any]:
    return {"file_size": len(file), "checksum": hashlib.sha256(file).hexdigest()}
