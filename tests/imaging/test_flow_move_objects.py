"""Images move between the file system and a real S3 server: at no time does a row name an object that is not there."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.imaging.move_objects import move_objects
from models.imaging.uids import parts_of_key
from models.kernel.audit import SYSTEM
from models.kernel.errors import InvalidError
from models.kernel.settings import settings
from tasks.clients.storage import backends
from tasks.clients.storage.backends import storage_for
from tasks.clients.storage.s3 import S3Storage
from tasks.imaging import relocating, scrubbing, strays
from tasks.imaging.objects import content_of
from tests.conftest import Database
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct
from tests.imaging.drops import in_processes
from tests.imaging.s3_servers import S3Server, moto
from tests.kernel.trail import as_superuser

pytestmark = [pytest.mark.store]
__all__ = ["moto"]
THERE, BACK = ("filesystem", "s3"), ("s3", "filesystem")


@pytest.fixture
def both(
    make_clinic: Callable[[str], Clinic], moto: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Clinic:
    """A clinic of three images, which lie on the file system, and an S3 server beside it."""
    for name, value in (moto.environment() | {"LABWIRE_RADIOLOGY_STORAGE": "filesystem"}).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    backends._s3.cache_clear()
    clinic = make_clinic(f"north-{tmp_path.name[-12:].strip('_').replace('_', '-').lower()}")
    clinic.stow(ct(1), ct(2), ct(3))
    for each in list(storage_for("s3", clinic.slug).list()):
        storage_for("s3", clinic.slug).remove(each.key)
    return clinic


def move(*places: str, most: int = 1000) -> str:
    made = relocating.begin("", SYSTEM, (places[0], places[1]), most)
    while relocating.move_next(made):
        pass
    relocating.clear(made)
    return made.tally.message


def scrubbed() -> str:
    made = scrubbing.begin("", SYSTEM, 30, full=True, most=1000)
    while scrubbing.check(made):
        pass
    scrubbing.look_through(made)
    return made.tally.message


def objects(clinic: Clinic, backend: str) -> int:
    return len(list(storage_for(backend, clinic.slug).list()))


def sound(clinic: Clinic) -> list[str]:
    """Where the images lie; every row's object is there, with the right bytes."""
    rows = clinic.rows("SELECT * FROM radiology_image ORDER BY id")
    for row in rows:
        assert content_of(storage_for(row.backend, clinic.slug), row.file_key) == (row.checksum, row.file_size)
    return [row.backend for row in rows]


@pytest.mark.flow
@pytest.mark.rerun
@pytest.mark.xdist_group("prefect")
async def test_images_move_there_and_back_and_a_second_run_finds_nothing(both: Clinic, prefect_server: None) -> None:
    before = both.rows("SELECT file_key, checksum FROM radiology_image ORDER BY id")
    bytes_before = [path.read_bytes() for path in both.objects()]
    for places in (THERE, BACK):
        state = await move_objects(*places, return_state=True)
        assert (state.is_completed(), state.message) == (True, "moved 3")
        assert sound(both) == [places[1]] * 3
        assert [objects(both, backend) for backend in places] == [0, 3]
        again = await move_objects(*places, tenant=both.slug, return_state=True)
        assert again.message == "nothing to do"
    assert both.rows("SELECT file_key, checksum FROM radiology_image ORDER BY id") == before
    assert [path.read_bytes() for path in both.objects()] == bytes_before
    assert len(both.rows("SELECT 1 FROM audit_event WHERE action = 'image.move'")) == 6
    assert both.spool() == []


def test_no_more_than_asked_for_and_only_to_another_backend(both: Clinic) -> None:
    assert move(*THERE, most=2) == "moved 2"
    assert sorted(sound(both)) == ["filesystem", "s3", "s3"]
    for places in (("s3", "s3"), ("filesystem", "tape")):
        with pytest.raises(InvalidError):
            move(*places)


def test_what_is_corrupt_or_missing_stays_and_is_told_of(both: Clinic) -> None:
    first, second, _ = both.objects()
    first.unlink()
    second.unlink()
    second.write_bytes(b"x")
    made = relocating.begin("", SYSTEM, THERE, 1000)
    relocating.move_next(made)
    assert made.tally.problems == {"not moved: missing": 1, "not moved: corrupt": 1}
    assert objects(both, "s3") == 1
    assert sorted(row.backend for row in both.rows("SELECT backend FROM radiology_image")) == [
        *("filesystem", "filesystem", "s3")
    ]


def test_other_bytes_under_the_key_at_the_new_place_are_left_and_moved_beside(both: Clinic, tmp_path: Path) -> None:
    [row, *_] = both.rows("SELECT id, file_key FROM radiology_image ORDER BY id")
    other = tmp_path / "other"
    other.write_bytes(b"other")
    digest = hashlib.sha256(b"other").hexdigest()
    storage_for("s3", both.slug).put(row.file_key, other, sha256=digest, size=5, mime_type="text/plain")
    assert move(*THERE) == "moved 3"
    assert sound(both) == ["s3"] * 3
    [moved] = both.rows(f"SELECT file_key FROM radiology_image WHERE id = {row.id}")
    assert moved.file_key != row.file_key
    assert parts_of_key(moved.file_key) is not None
    assert content_of(storage_for("s3", both.slug), row.file_key)[0] == digest


def test_what_is_read_back_otherwise_stays_where_it_is_and_fails_the_run(
    both: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = "SELECT * FROM radiology_image ORDER BY id LIMIT 1"
    [row] = both.rows(one)
    content, wrong = (both.media / both.slug / row.file_key).read_bytes(), [row.file_key]
    read = S3Storage.read

    def misread(self: S3Storage, key: str, **more: Any) -> Iterator[bytes]:
        """The store takes everything, and once gives another byte back."""
        is_wrong = wrong == [key] and bool(wrong.pop())
        for number, piece in enumerate(read(self, key, **more)):
            yield bytes([piece[0] ^ 1]) + piece[1:] if is_wrong and not number else piece

    monkeypatch.setattr(S3Storage, "read", misread)
    made = relocating.begin("", SYSTEM, THERE, 1000)
    relocating.move_next(made)
    relocating.clear(made)
    state = made.tally.as_state()
    assert (state.is_failed(), state.message) == (True, "moved 2; not moved: other bytes were read back 1")
    assert [found["image"] for found in made.rows] == [row.id]
    assert both.rows(one) == [row]
    assert (both.media / both.slug / row.file_key).read_bytes() == content
    assert len(both.rows("SELECT 1 FROM audit_event WHERE action = 'image.move'")) == 2
    assert move(*THERE) == "moved 1"  # what was read wrongly once is right, and is looked at again
    assert sound(both) == ["s3"] * 3


STEPS = {
    "before the first copy": ("keep", "before"),
    "after the first copy": ("keep", "after"),
    "after it was read back": ("content_of", "after"),
    "before the row is switched": ("switch_place", "before"),
    "before that is committed": ("switch_place", "after"),
    "before the old one is removed": ("remove_if_left", "before"),
    "after the old one is removed": ("remove_if_left", "after"),
}


def die_at(step: tuple[str, str]) -> None:
    name, when = step
    original = getattr(relocating, name)

    def dying(*args: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(relocating, name, dying)


@pytest.mark.chaos
@pytest.mark.rerun
@pytest.mark.parametrize("name", STEPS)
def test_killed_anywhere_every_row_has_its_object_and_a_rerun_ends_clean(both: Clinic, name: str) -> None:
    def work() -> None:
        die_at(STEPS[name])
        move(*THERE)

    assert in_processes(work) == [-signal.SIGKILL]
    sound(both)
    problems = scrubbed().split("; ")
    assert len(problems) == 1, problems
    move(*THERE)
    assert sound(both) == ["s3"] * 3
    assert [objects(both, backend) for backend in THERE] == [0, 3]
    assert scrubbed() == "images checked 3"
    assert move(*BACK) == "moved 3"


@pytest.mark.rerun
def test_two_moves_at_once_in_opposite_directions_lose_nothing(both: Clinic) -> None:
    move(*THERE, most=2)
    in_processes(
        *(partial(move, *places) for places in (THERE, BACK, THERE))
    )  # one may fail: what it had was taken away
    sound(both)
    move(*THERE)
    assert sound(both) == ["s3"] * 3
    assert [objects(both, backend) for backend in THERE] == [0, 3]


def test_a_copy_that_another_move_took_for_a_leftover_is_left_for_the_next_run(
    both: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def taken_away(storage: Any, key: str) -> Any:
        if storage.name == "s3" and not taken:
            taken.append(key)
            storage.remove(key)
        return content_of(storage, key)

    monkeypatch.setattr(relocating, "content_of", taken_away)
    assert set(move(*THERE).split(", ")) == {"moved 2", "changed meanwhile 1"}
    assert sorted(sound(both)) == ["filesystem", "s3", "s3"]
    assert move(*THERE) == "moved 1"
    assert sound(both) == ["s3"] * 3


def test_what_lies_at_s3_without_an_image_is_taken_in_there_and_what_is_gone_is_missing(
    both: Clinic, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(*THERE)
    rows = both.rows("SELECT id, file_key, image_uid FROM radiology_image ORDER BY id")
    storage = storage_for("s3", both.slug)
    storage.remove(rows[0].file_key)
    with as_superuser(database) as execute:
        execute(f"DELETE FROM radiology_image WHERE id = {rows[1].id}")
    assert scrubbed() == "images checked 2, objects too young to judge 1; images missing 1"
    monkeypatch.setattr(strays, "YOUNG_SECONDS", -10.0)
    assert scrubbed() == "images checked 2, orphans taken in 1; images missing 1"
    [row] = both.rows("SELECT backend, file_key FROM radiology_image WHERE source = 'storage'")
    assert (row.backend, row.file_key) == ("s3", rows[1].file_key)


def test_a_copy_at_the_old_place_goes_only_where_the_new_one_is_sound(both: Clinic) -> None:
    kept = {path: path.read_bytes() for path in both.objects()}
    move(*THERE)
    for path, content in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    first, second, _ = kept
    second.write_bytes(b"other bytes")
    [key] = [row.file_key for row in both.rows("SELECT file_key FROM radiology_image") if row.file_key in str(first)]
    storage_for("s3", both.slug).remove(key)
    assert move(*THERE) == "leftovers removed 1"
    assert [path.exists() for path in kept] == [True, True, False]
