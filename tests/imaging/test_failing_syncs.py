"""A disk that fails while bytes are made durable: it says so once, and what it lost is not taken for stored later."""

import errno
import os
from pathlib import Path

import pytest

from models.kernel.errors import RetryableError
from tasks.clients.storage.spool import Spool
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct
from tests.imaging.test_binaries import checksums, declared, slices, sums, told

pytestmark = pytest.mark.api


class FailingDisk:
    """As Linux does it: one fsync of a descriptor tells what could not be written back, the next says all is well."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, victim: Path) -> None:
        self.victim, self.failures, self._fsync = str(victim), 0, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        if not self.failures and os.readlink(f"/proc/self/fd/{descriptor}") == self.victim:
            self.failures += 1
            raise OSError(errno.EIO, "lost")
        self._fsync(descriptor)


def victim(clinic: Clinic, upload_id: int) -> Path:
    return clinic.media / clinic.slug / ".uploads" / str(upload_id)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "lab" / ".uploads")


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("is_alone", [True, False])
def test_the_sender_begins_again(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, *, is_known: bool, is_alone: bool
) -> None:
    files = slices(6)
    ids = declared(clinic, files)
    if is_known:  # then the others are stored by one transaction
        clinic.send(ids[5], files[6])
    disk = FailingDisk(monkeypatch, victim(clinic, ids[2]))
    sent = dict(zip(ids[:5], files.values(), strict=False))
    if is_alone:
        assert clinic.send(ids[2], files[3]).status_code == 503
    else:
        assert [one[1] for one in told(clinic.send_together(sent))] == [200, 200, 503, 200, 200]
    assert disk.failures == 1
    head = clinic.technician.head(f"/api/v1/radiology/uploads/{ids[2]}/binary")
    assert head.headers["Upload-Offset"] == "0", "bytes are counted that the disk may not have"
    at_the_end = clinic.send(ids[2], b"", len(files[3]))
    assert (at_the_end.status_code, at_the_end.headers["Upload-Offset"]) == (409, "0")
    assert {one[2] for one in told(clinic.send_together(sent))} == {"stored"}
    assert checksums(clinic) == sums(*(list(files.values()) if is_known else list(files.values())[:5]))


def test_a_file_that_was_lost_is_not_written_to_nor_synced_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    with spool.opened(7) as growing:
        growing.write(b"abc", 0)
        FailingDisk(monkeypatch, spool.of_upload(7))
        growing.begin_sync()
        for again in (growing.sync, growing.sync, lambda: growing.write(b"abc", 0)):
            with pytest.raises(RetryableError):
                again()
        assert growing.size == 0
    with spool.opened(7) as growing:
        assert growing.size == 0
        growing.write(b"abc", 0)
        growing.sync()


def test_what_is_held_and_tried_again_stays_where_it_is(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender was told that it is kept."""
    [upload_id] = declared(clinic, {2: ct(1)})  # not the one it says
    assert clinic.send(upload_id, ct(1)).json()["state"] == "held"
    disk = FailingDisk(monkeypatch, victim(clinic, upload_id))
    answer = clinic.technician.post(f"/api/v1/radiology/uploads/{upload_id}/retry")
    assert (answer.status_code, disk.failures) == (503, 1)
    assert victim(clinic, upload_id).read_bytes() == ct(1)


@pytest.mark.parametrize("has_object", [True, False])
def test_what_is_held_stays_though_it_had_to_be_copied(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_object: bool
) -> None:
    """Where a put of it failed half-way, it is read-only, and maybe an object already."""
    other = tmp_path / "object"
    with spool.opened(7) as growing:
        growing.write(b"abc", 0)
        growing.sync()
    spool.of_upload(7).chmod(0o400)
    if has_object:
        other.hardlink_to(spool.of_upload(7))
    with spool.opened(7) as growing:
        disk = FailingDisk(monkeypatch, spool.of_upload(7))
        with pytest.raises(RetryableError):
            growing.sync()
    assert (disk.failures, spool.of_upload(7).read_bytes()) == (1, b"abc")


def test_a_failure_that_nobody_waited_for_is_met_when_the_file_is_let_go(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with spool.opened(7) as growing:
        growing.write(b"abc", 0)
        FailingDisk(monkeypatch, spool.of_upload(7))
        growing.begin_sync()
    assert spool.size_of(7) == 0
