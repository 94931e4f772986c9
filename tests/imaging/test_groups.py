"""Images that are ready at the same moment are stored together, and each as if it had come alone."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from models.imaging import grouping
from models.imaging.intake import Intake, Offer, Stored, sync_file
from models.imaging.rules import NotLetInError
from models.imaging.stores.writing_groups import finish_group
from models.kernel.audit import SYSTEM
from models.kernel.errors import RetryableError
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.spool import spool_of
from tests.api.helpers import audited
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.store
THREADS = 6


class Gathering:
    """The real storage; `put` waits until others have come, so that there are groups. `broken` keys cannot be put."""

    name = "filesystem"

    def __init__(self, slug: str) -> None:
        self._storage = storage_for_new(slug)
        self.broken: set[str] = set()

    def put(self, key: str, source: Path, **more: Any) -> bool:
        if key.rsplit("/", 2)[1] in self.broken:
            raise RetryableError("the disk is full")
        threading.Event().wait(0.01)
        return self._storage.put(key, source, **more)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many groups of which size were committed."""
    seen: Counter[int] = Counter()
    finish = finish_group

    def counting(pipeline: Any, tenant_id: int, members: Any) -> None:
        seen[len(members)] += 1
        finish(pipeline, tenant_id, members)

    monkeypatch.setattr(grouping, "finish_group", counting)
    return seen


def take_all(clinic: Clinic, storage: Gathering, files: list[bytes]) -> list[Stored | str]:
    """What became of each, all offered at once."""
    intake = Intake(clinic.tenant_id, SYSTEM, storage, pool())  # type: ignore[arg-type] # all that the intake asks of it
    spool = spool_of(clinic.slug)

    def take(file: bytes) -> Stored | str:
        path = spool.fresh()
        path.write_bytes(file)
        sync_file(path)
        try:
            return intake.take(Offer(path, "a.dcm", "stow"))
        except NotLetInError as error:
            return error.rule
        except RetryableError:
            return "again"

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(take, files))


def test_many_at_once_are_each_stored_and_counted_once(clinic: Clinic, sizes: Counter[int]) -> None:
    clinic.stow(ct(1))
    files = [ct(number) for number in range(2, 40)]
    files += [ct(5), ct(6), ct(7, WindowCenter="41")]
    results = take_all(clinic, Gathering("north"), files)
    stored = [one for one in results if isinstance(one, Stored)]
    assert Counter(one.taken.is_new for one in stored) == {True: 38, False: 2}
    assert [one for one in results if isinstance(one, str)] == ["other_bytes"]
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(39,)]
    assert clinic.rows("SELECT image_count, total_bytes FROM radiology_series") == [
        (39, sum(path.stat().st_size for path in clinic.objects()))
    ]
    assert len(audited(clinic.tenant_id, "image.store")) == 39
    assert max(sizes) > 1, "nothing was stored in a group"


def test_what_one_cannot_keep_is_its_own_failure(clinic: Clinic, sizes: Counter[int]) -> None:
    clinic.stow(ct(1))
    storage = Gathering("north")
    storage.broken = {f"{SERIES}.9", f"{SERIES}.20"}
    results = take_all(clinic, storage, [ct(number) for number in range(2, 30)])
    assert Counter(isinstance(one, Stored) for one in results) == {True: 26, False: 2}
    assert {index + 2 for index, one in enumerate(results) if one == "again"} == {9, 20}
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(27,)]
    assert len(clinic.rows("SELECT 1 FROM radiology_image")) == len(clinic.objects()) == 27


def test_one_uid_twice_in_a_group_is_stored_once_with_the_first_bytes(clinic: Clinic, sizes: Counter[int]) -> None:
    clinic.stow(ct(1))
    files = [ct(number, WindowCenter=str(40 + copy)) for number in range(2, 8) for copy in range(4)]
    results = take_all(clinic, Gathering("north"), files)
    assert sum(isinstance(one, Stored) for one in results) == 6
    assert Counter(one for one in results if isinstance(one, str)) == {"other_bytes": 18}
    rows = clinic.rows("SELECT file_key, checksum FROM radiology_image ORDER BY id")
    assert len(rows) == len(clinic.objects()) == 7
    assert STUDY in rows[0].file_key


def test_groups_of_several_series_and_studies_do_not_wait_for_each_other_for_ever(clinic: Clinic) -> None:
    places = [(f"1.2.{study}", f"1.2.{study}.{series}") for study in (1, 2) for series in (1, 2)]
    for study_uid, series_uid in places:
        clinic.stow(ct(1, study_uid=study_uid, series_uid=series_uid))
    files = [
        ct(number, study_uid=study_uid, series_uid=series_uid)
        for number in range(2, 12)
        for study_uid, series_uid in places
    ]
    results = take_all(clinic, Gathering("north"), files)
    assert all(isinstance(one, Stored) for one in results)
    assert clinic.rows("SELECT image_count, series_count FROM radiology_study") == [(22, 2), (22, 2)]
