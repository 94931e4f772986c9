"""Images that are moved while they are read are neither missing nor described poorly."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from api.imaging.objects import REMEMBERED
from models.imaging.describing import Describing
from models.imaging.stores import descriptions
from models.imaging.stores.studies import Place, note_problem
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for
from tasks.clients.storage.filesystem import FilesystemStorage
from tasks.clients.storage.spool import spool_of
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.test_flow_move_objects import THERE, both, move, sound

pytestmark = pytest.mark.store
__all__ = ["both"]
PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1"
READS = [
    *("/api/v1/radiology/images/1/file", PATH, f"{PATH}/metadata", f"{PATH}/frames/1", f"{PATH}/rendered"),
    *(f"{PATH}/bulkdata/7FE00010", f"/dicom-web/studies/{STUDY}/series/{SERIES}/metadata"),
]


def moving_at(monkeypatch: pytest.MonkeyPatch, method: str, *, after: bool = False) -> list[str]:
    """The images are moved once, right before or after an object on the file system is asked for."""
    original, done = getattr(FilesystemStorage, method), list[str]()

    def asked(storage: FilesystemStorage, *args: Any, **more: Any) -> Any:
        found = original(storage, *args, **more) if after else None
        if not done:
            done.append(method)
            monkeypatch.setattr(FilesystemStorage, method, original)
            assert "moved 3" in move(*THERE)
        return found if after else original(storage, *args, **more)

    monkeypatch.setattr(FilesystemStorage, method, asked)
    return done


def is_untouched(clinic: Clinic) -> bool:
    problems = clinic.rows("SELECT DISTINCT problem FROM radiology_image")
    audited = clinic.rows("SELECT 1 FROM audit_event WHERE action = 'image.problem'")
    return (problems, audited, sound(clinic)) == ([(None,)], [], ["s3"] * 3)


@pytest.mark.parametrize("method", ["read", "local_path"])
@pytest.mark.parametrize("path", READS)
def test_a_reader_looks_where_the_object_lies_by_then(
    both: Clinic, monkeypatch: pytest.MonkeyPatch, path: str, method: str
) -> None:
    before = both.technician.get(path)
    assert before.status_code == 200
    both.rows("DELETE FROM series_metadata RETURNING 1")
    both.rows("DELETE FROM image_description RETURNING 1")
    REMEMBERED.forget()
    done = moving_at(monkeypatch, method)
    now = both.technician.get(path)
    assert now.status_code == 200, now.text
    is_multipart = before.headers["content-type"].startswith("multipart/")  # its boundary is new each time
    assert len(now.content) == len(before.content)
    assert is_multipart or now.content == before.content
    assert not done or is_untouched(both)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_file_or_a_range_is_served_from_where_it_lies_by_then(
    both: Clinic, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    done = moving_at(monkeypatch, "stat")
    answer = both.technician.request(method, READS[0], headers={"Range": "bytes=0-99"})
    assert answer.status_code == (206 if method == "GET" else 200)
    assert answer.content == (ct()[:100] if method == "GET" else b"")
    assert done
    assert is_untouched(both)


@pytest.mark.parametrize(("method", "after"), [("local_path", False), ("local_path", True), (None, False)])
def test_images_that_are_moved_while_they_are_described_are_described_in_full(
    both: Clinic, monkeypatch: pytest.MonkeyPatch, method: str | None, after: bool
) -> None:
    place = partial(storage_for, tenant_slug=both.slug)
    describing = Describing(both.tenant_id, place, pool(), spool_of(both.slug).fresh)
    with tenant_session(both.tenant_id) as session:
        rows = descriptions.undescribed(session, both.tenant_id)
    if method is None:
        move(*THERE)
    else:
        moving_at(monkeypatch, method, after=after)
    assert describing.describe_rows(rows) == 3
    assert is_untouched(both)
    for one in both.technician.get(READS[-1]).json():
        assert one["00281050"]["Value"] == [40]
    assert both.spool() == []


def test_a_problem_is_noted_of_where_it_was_found_alone(both: Clinic) -> None:
    [row, *_] = both.rows("SELECT id, backend, file_key FROM radiology_image ORDER BY id")

    def note(backend: str, key: str) -> bool:
        with tenant_session(both.tenant_id) as session:
            return note_problem(session, both.tenant_id, SYSTEM, Place(row.id, backend, key), "missing")

    assert not note("s3", row.file_key)
    assert not note(row.backend, str(Path(row.file_key).with_name("other.dcm")))
    assert both.rows("SELECT 1 FROM radiology_image WHERE problem IS NOT NULL") == []
    assert note(row.backend, row.file_key)
    assert both.rows("SELECT id, problem FROM radiology_image WHERE problem IS NOT NULL") == [(row.id, "missing")]
