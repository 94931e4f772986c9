"""While the file system of images is not mounted nothing is missing, and nothing is put on the disk below."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.kernel.audit import SYSTEM
from models.kernel.errors import ConfigError
from models.kernel.settings import settings
from tasks.clients.storage import backends
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.mounting import MARK, NOTE, Mount
from tasks.clients.storage.spool import spool_of
from tasks.imaging import completing, scrubbing
from tasks.imaging.completing import Completing
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("LABWIRE_STATE_DIR", str(tmp_path / "state"))
    settings.cache_clear()
    backends._filesystem.cache_clear()
    return tmp_path / "state"


def scrub() -> dict[str, int]:
    made = scrubbing.begin("", SYSTEM, 30, full=True, most=10)
    while scrubbing.check(made):
        pass
    scrubbing.look_through(made)
    return made.tally.problems


def test_an_unmounted_root_is_for_a_person_and_no_image_is_missing(
    clinic: Clinic, make_clinic: Callable[[str], Clinic], tmp_path: Path
) -> None:
    clinic.stow(ct(1))
    clinic.media.rename(tmp_path / "elsewhere")
    clinic.media.mkdir()  # what it was mounted on
    storage, [image] = storage_for_new(clinic.slug), clinic.rows("SELECT file_key FROM radiology_image")
    for look in (storage.stat, storage.read, storage.local_path):
        with pytest.raises(ConfigError, match=r"LABWIRE_MEDIA_ROOT lacks \.labwire-images"):
            look(image.file_key)
    reads = (f"/dicom-web/studies/{STUDY}/series/{SERIES}/metadata", "/api/v1/radiology/images/1/file")
    answers = [clinic.technician.get(path) for path in reads]
    answers += [each.stow(ct(2)) for each in (clinic, make_clinic("south"))]
    for answer in answers:  # whoever sends comes again
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60"), answer.text
        assert "its file system is not mounted" in answer.text
    assert completing.complete("", SYSTEM, Completing.describe).tally.counts == {}
    assert set(scrub()) == {"unreadable now", "storage that cannot be listed"}
    assert list(clinic.media.iterdir()) == []
    assert clinic.rows("SELECT problem FROM radiology_image") == [(None,)]
    clinic.media.rmdir()
    (tmp_path / "elsewhere").rename(clinic.media)
    assert clinic.technician.get(reads[1]).content == ct(1)
    assert clinic.stow(ct(2)).status_code == 200


def test_a_root_that_was_filled_before_there_were_marks_gets_one(clinic: Clinic, state: Path) -> None:
    clinic.stow(ct(1))
    (clinic.media / MARK).unlink()
    (state / NOTE).unlink()
    backends._filesystem.cache_clear()
    storage_for_new(clinic.slug)
    assert (clinic.media / MARK).exists()
    assert (state / NOTE).read_text() == str(clinic.media)


def test_another_root_is_begun_like_the_first(tmp_path: Path, state: Path) -> None:
    for name in ("one", "two", "one"):
        mount = Mount(tmp_path / name, state)
        mount.begin()
        mount.begin()
        assert (mount.media / MARK).exists()
    shutil.rmtree(tmp_path / "one")
    mount.note()
    with pytest.raises(ConfigError):
        mount.begin()
    (tmp_path / "one").mkdir()
    mount.note()
    with pytest.raises(ConfigError):
        mount.begin()
    (tmp_path / "one" / MARK).touch()  # a person knows better
    mount.begin()


def test_the_spool_alone_begins_a_root_too(media: Path, state: Path) -> None:
    spool_of("north").fresh()
    assert (media / MARK).exists()
    assert (state / NOTE).read_text() == str(media)
