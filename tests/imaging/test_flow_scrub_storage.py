"""What was corrupted, removed or added in the storage is found exactly; an object without image is taken in again."""

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from flows.imaging.scrub_storage import scrub_storage
from models.imaging import intake
from models.imaging.files import keep
from models.imaging.intake import Intake
from models.imaging.offers import Offer
from models.kernel.audit import SYSTEM
from models.kernel.errors import RetryableError
from models.kernel.tenancy import owner_session, tenant_session
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for
from tasks.clients.storage.filesystem import FilesystemStorage
from tasks.imaging import scrubbing
from tasks.imaging.scrubbing import Scrub
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture
from tests.imaging.drops import in_processes

pytestmark = [pytest.mark.store]


def scrub(*, full: bool = True, days: float = 30, most: int = 1000) -> Scrub:
    made = scrubbing.begin("", SYSTEM, days, full=full, most=most)
    while scrubbing.check(made):
        pass
    scrubbing.look_through(made)
    return made


def found(made: Scrub) -> list[tuple[Any, Any]]:
    return sorted(((row.get("image"), row["found"]) for row in made.rows), key=str)


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def age(clinic: Clinic) -> None:
    """Every object has lain there for hours."""
    for path in clinic.objects():
        os.utime(path, (time.time() - 7200,) * 2)


@pytest.mark.flow
@pytest.mark.rerun
@pytest.mark.xdist_group("prefect")
async def test_corrupt_missing_and_added_objects_are_found_and_told_of_until_they_are_sound(
    clinic: Clinic, prefect_server: None
) -> None:
    clinic.stow(*(ct(number) for number in range(1, 6)))
    first, second, third, *_ = clinic.objects()
    good = second.read_bytes()
    third.unlink()
    replace(second, good[:-1] + b"x")
    strange = first.parent / "other.dcm"
    strange.write_bytes(b"of nobody")
    (clinic.media / clinic.slug / "radiology" / "note.txt").write_text("strange")
    age(clinic)
    messages = []
    for _ in range(2):
        state = await scrub_storage(full=True, return_state=True)
        assert state.is_failed()
        messages.append(sorted(re.split("[;,] ", str(state.message))))
    expected = ["images checked 5", "images corrupt 1", "images missing 1", "orphans not taken in 2"]
    assert messages == [expected] * 2
    rows = clinic.rows("SELECT problem FROM radiology_image ORDER BY image_uid")
    assert [row.problem for row in rows] == [None, "corrupt", "missing", None, None]
    assert len(clinic.rows("SELECT 1 FROM audit_event WHERE action = 'image.check'")) == 2
    replace(second, good)
    assert clinic.stow(ct(3)).status_code == 200
    strange.unlink()
    (clinic.media / clinic.slug / "radiology" / "note.txt").unlink()
    state = await scrub_storage(tenant=clinic.slug, return_state=True)
    assert (state.is_completed(), state.message) == (True, "images checked 1")
    assert [row.problem for row in clinic.rows("SELECT problem FROM radiology_image")] == [None] * 5


def test_only_what_is_due_is_read_the_longest_unread_first_and_no_more_than_asked_for(clinic: Clinic) -> None:
    clinic.stow(*(ct(number) for number in range(1, 6)))
    assert scrub(full=False).tally.message == "nothing to do"
    with tenant_session(clinic.tenant_id) as session:
        session.execute(text("UPDATE radiology_image SET checked_at = now() - interval '1 day' * (18 + 5 * id)"))
    assert scrub(full=False, most=2).tally.message == "images checked 2"
    assert scrub(full=False).tally.message == "images checked 1"
    assert scrub(full=False).tally.message == "nothing to do"
    assert scrub(days=0, full=False).tally.message == "images checked 5"


def test_a_missing_object_is_found_at_once_though_its_image_is_not_due(clinic: Clinic) -> None:
    clinic.stow(ct(1), ct(2), ct(1, study_uid="1.2.3", series_uid="1.2.3.1"))
    for study_uid in ("1.2.3", STUDY):
        next(path for path in clinic.objects() if study_uid in path.parts).unlink()
    assert scrub(full=False).tally.problems == {"images missing": 2}


def test_both_objects_of_a_picture_are_read(clinic: Clinic) -> None:
    with_order(clinic, picture())
    original, wrapped = sorted(clinic.objects(), key=lambda path: path.suffix != ".jpg")
    content = wrapped.read_bytes()
    replace(wrapped, content + b"x")
    assert scrub().tally.problems == {"images corrupt": 1}
    wrapped.unlink()
    assert scrub().tally.problems == {"images missing": 1}
    wrapped.write_bytes(content)
    assert scrub().tally.message == "images checked 1"
    original.unlink()
    assert scrub().tally.problems == {"images missing": 1}


def with_order(clinic: Clinic, file: bytes) -> int:
    """A picture of a new order, stored through the technicians' form."""
    order_id = clinic.order(clinic.patient())
    sent = clinic.declare(
        [file], radiology_order_id=order_id, images=[{"filename": "a.jpg", "mime_type": "image/jpeg"}]
    )
    assert sent.status_code == 201, sent.text
    answer = clinic.send(sent.json()["uploads"][0]["id"], file)
    assert answer.json()["state"] == "stored", answer.text
    return order_id


def forget_images() -> None:
    """As after a restore from a backup made before they were stored."""
    tables = ("image_upload", "image_description", "series_metadata", "radiology_image", "radiology_series")
    with owner_session() as session:
        for table in (*tables, "radiology_study"):
            session.execute(text(f"TRUNCATE {table} CASCADE"))


@pytest.mark.rerun
def test_after_a_restore_from_an_older_backup_every_image_is_taken_in_again_where_it_lies(clinic: Clinic) -> None:
    order_id = with_order(clinic, picture())
    clinic.stow(ct(1), ct(2))
    before = [(path, path.read_bytes()) for path in clinic.objects()]
    query = (
        "SELECT image_uid, file_key, checksum, wrapped_key, wrapped_checksum, filename FROM radiology_image ORDER BY 1"
    )
    rows = clinic.rows(query)
    forget_images()
    assert scrub().tally.message == "objects too young to judge 4"
    age(clinic)
    made = scrub()
    assert made.tally.message == "orphans taken in 4"
    assert [(path, path.read_bytes()) for path in clinic.objects()] == before
    assert clinic.rows(query) == rows
    assert clinic.spool() == []
    studies = clinic.rows("SELECT radiology_order_id FROM radiology_study ORDER BY 1")
    assert [row.radiology_order_id for row in studies] == [order_id, None]
    assert scrub().tally.message == "images checked 3"
    assert len(clinic.rows("SELECT 1 FROM radiology_image WHERE source = 'storage'")) == 3


def test_an_object_whose_key_says_other_than_its_file_is_left_and_told_of(clinic: Clinic) -> None:
    clinic.stow(ct(1))
    [path] = clinic.objects()
    for key in (f"radiology/{STUDY}/{SERIES}/1.2.3/a.dcm", f"radiology/1.2.3/{SERIES}/{SERIES}.7/a.dcm"):
        target = clinic.media / clinic.slug / key
        target.parent.mkdir(parents=True)
        target.write_bytes(ct(7))
    age(clinic)
    made = scrub()
    assert made.tally.problems == {"orphans not taken in": 2}
    assert [row for row in found(made) if row[1] == "uids"] == [(None, "uids")] * 2
    assert len(clinic.objects()) == 3
    assert path.exists()


def test_the_same_bytes_under_another_name_are_a_surplus_copy_or_bring_back_what_was_lost(clinic: Clinic) -> None:
    clinic.stow(ct(1))
    [path] = clinic.objects()
    path.with_name("copy.dcm").write_bytes(ct(1))
    made = scrub()
    assert made.tally.message == "images checked 1, surplus copies 1"
    path.unlink()
    assert scrub().tally.message == "images checked 1, orphans taken in 1"
    [row] = clinic.rows("SELECT file_key, problem FROM radiology_image")
    assert row.problem is None
    assert (clinic.media / clinic.slug / row.file_key).read_bytes() == ct(1)


def test_a_storage_that_is_away_makes_nobody_s_image_missing(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic.stow(ct(1), ct(2))

    def away(*_: Any, **__: Any) -> Any:
        raise RetryableError("away")

    monkeypatch.setattr(FilesystemStorage, "read", away)
    monkeypatch.setattr(FilesystemStorage, "list", away)
    assert scrub().tally.problems == {"unreadable now": 2, "storage that cannot be listed": 1}
    assert [row.problem for row in clinic.rows("SELECT problem FROM radiology_image")] == [None, None]
    monkeypatch.undo()


def store_and_die(clinic: Clinic, file: bytes) -> None:
    """An intake whose process ends between put and commit."""
    original = keep

    def put_and_die(*args: Any) -> str:
        key = original(*args)
        os.kill(os.getpid(), signal.SIGKILL)
        return key

    intake.keep = put_and_die  # type: ignore[attr-defined,assignment]
    path = clinic.media / clinic.slug / ".uploads" / "tmp-1"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file)
    storage = storage_for("filesystem", clinic.slug)
    offer = Offer(path=path, filename="a.dcm", source="stow")
    Intake(clinic.tenant_id, SYSTEM, storage, pool()).take(offer)


@pytest.mark.chaos
@pytest.mark.parametrize("sent_again", [False, True])
def test_what_a_kill_between_put_and_commit_leaves_is_taken_in_once(clinic: Clinic, sent_again: bool) -> None:
    assert in_processes(lambda: store_and_die(clinic, ct(1))) == [-signal.SIGKILL]
    assert (len(clinic.objects()), clinic.rows("SELECT 1 FROM radiology_image")) == (1, [])
    if sent_again:
        clinic.stow(ct(1))
    age(clinic)
    scrub()
    assert len(clinic.rows("SELECT 1 FROM radiology_image")) == 1
    assert scrub().tally.problems == {}


@pytest.mark.chaos
@pytest.mark.rerun
@pytest.mark.parametrize("step", ["note_found", "look_through"])
def test_killed_anywhere_the_next_run_goes_on(clinic: Clinic, step: str) -> None:
    clinic.stow(*(ct(number) for number in range(1, 4)))
    clinic.objects()[0].unlink()

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        setattr(scrubbing, step, die)
        scrub()

    assert in_processes(work) == [-signal.SIGKILL]
    assert scrub().tally.problems == {"images missing": 1}


@pytest.mark.rerun
def test_two_runs_at_once_take_an_orphan_in_once(clinic: Clinic) -> None:
    clinic.stow(*(ct(number) for number in range(1, 7)))
    forget_images()
    age(clinic)
    assert in_processes(scrub, scrub) == [0, 0]
    assert scrub().tally.message == "images checked 6"
    assert len(clinic.objects()) == 6
