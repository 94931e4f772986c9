"""Images that come together are stored together, and each as if it had come alone."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from models.imaging import intake as module
from models.imaging.files import sync_file
from models.imaging.intake import Intake, Stored
from models.imaging.offers import Offer
from models.imaging.rules import NotLetInError
from models.imaging.stores import writing, writing_places
from models.imaging.stores.writing_groups import finish_group
from models.kernel.audit import SYSTEM
from models.kernel.errors import RetryableError
from models.kernel.tenancy import tenant_session
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.spool import spool_of
from tests.api.helpers import audited
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.store
THREADS, GROUP = 3, 5


class Breaking:
    """The real storage, but for images that cannot be put."""

    name = "filesystem"

    def __init__(self, slug: str) -> None:
        self._storage = storage_for_new(slug)
        self.broken: set[str] = set()

    def put(self, key: str, source: Path, **more: Any) -> bool:
        if key.rsplit("/", 2)[1] in self.broken:
            raise RetryableError("the disk is full")
        return self._storage.put(key, source, **more)


class Meeting(Breaking):
    """The real storage, where nobody comes by until the whole group is there."""

    def __init__(self, slug: str, number: int) -> None:
        super().__init__(slug)
        self.together = threading.Barrier(number, timeout=20)

    def put(self, key: str, source: Path, **more: Any) -> bool:
        self.together.wait()
        return super().put(key, source, **more)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many groups of which size were committed."""
    seen: Counter[int] = Counter()
    finish = finish_group

    def counting(pipeline: Any, tenant_id: int, members: Any) -> None:
        seen[len(members)] += 1
        finish(pipeline, tenant_id, members)

    monkeypatch.setattr(module, "finish_group", counting)
    return seen


def take_all(clinic: Clinic, storage: Breaking, files: list[bytes]) -> list[Stored | str]:
    """What became of each, offered in groups by several threads at once."""
    intake = Intake(clinic.tenant_id, SYSTEM, storage, pool())  # type: ignore[arg-type] # all that the intake asks of it
    spool = spool_of(clinic.slug)

    def take(group: list[bytes]) -> list[Stored | str]:
        offers = []
        for file in group:
            path = spool.fresh()
            path.write_bytes(file)
            sync_file(path)
            offers.append(Offer(path, "a.dcm", "stow"))
        return [_told(result) for result in intake.take_many(offers)]

    groups = [files[first : first + GROUP] for first in range(0, len(files), GROUP)]
    with ThreadPoolExecutor(THREADS) as threads:
        return [result for results in threads.map(take, groups) for result in results]


def _told(result: Stored | Exception) -> Stored | str:
    if isinstance(result, NotLetInError):
        return result.rule
    if isinstance(result, RetryableError):
        return "again"
    if isinstance(result, Exception):
        raise result
    return result


def test_many_at_once_are_each_stored_and_counted_once(clinic: Clinic, sizes: Counter[int]) -> None:
    clinic.stow(ct(1))
    files = [ct(number) for number in range(2, 40)]
    files += [ct(5), ct(6), ct(7, WindowCenter="41")]
    results = take_all(clinic, Breaking("north"), files)
    stored = [one for one in results if isinstance(one, Stored)]
    assert Counter(one.taken.is_new for one in stored) == {True: 38, False: 2}
    assert [one for one in results if isinstance(one, str)] == ["other_bytes"]
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(39,)]
    assert clinic.rows("SELECT image_count, total_bytes FROM radiology_series") == [
        (39, sum(path.stat().st_size for path in clinic.objects()))
    ]
    assert len(audited(clinic.tenant_id, "image.store")) == 39
    assert max(sizes) > 1, "nothing was stored in a group"


def test_a_group_is_put_at_once(clinic: Clinic, sizes: Counter[int]) -> None:
    clinic.stow(ct(1))
    results = take_all(clinic, Meeting("north", GROUP), [ct(number) for number in range(2, 2 + GROUP)])
    assert [isinstance(one, Stored) for one in results] == [True] * GROUP
    assert sizes == {GROUP: 1}


def test_what_one_cannot_keep_is_its_own_failure(clinic: Clinic, sizes: Counter[int]) -> None:
    clinic.stow(ct(1))
    storage = Breaking("north")
    storage.broken = {f"{SERIES}.9", f"{SERIES}.20"}
    results = take_all(clinic, storage, [ct(number) for number in range(2, 30)])
    assert Counter(isinstance(one, Stored) for one in results) == {True: 26, False: 2}
    assert {index + 2 for index, one in enumerate(results) if one == "again"} == {9, 20}
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(27,)]
    assert len(clinic.rows("SELECT 1 FROM radiology_image")) == len(clinic.objects()) == 27


@pytest.mark.parametrize("error", [ZeroDivisionError("of Doe^Jo"), RetryableError("the disk is full")])
def test_a_group_that_fails_is_stored_one_by_one_and_what_nobody_foresaw_is_logged_without_its_message(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    clinic.stow(ct(1))

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(module, "finish_group", fail)
    with capture_logs() as logs:
        results = take_all(clinic, Breaking("north"), [ct(2), ct(3)])
    assert [isinstance(one, Stored) for one in results] == [True, True]
    said = {"event": "a group of images is stored one by one", "log_level": "warning", "tenant": clinic.tenant_id}
    is_foreseen = isinstance(error, RetryableError)
    assert logs == ([] if is_foreseen else [said | {"error": "ZeroDivisionError"}])


def test_one_uid_twice_in_a_group_is_stored_once_with_the_first_bytes(clinic: Clinic, sizes: Counter[int]) -> None:
    clinic.stow(ct(1))
    files = [ct(number, WindowCenter=str(40 + copy)) for number in range(2, 8) for copy in range(4)]
    results = take_all(clinic, Breaking("north"), files)
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
    results = take_all(clinic, Breaking("north"), files)
    assert all(isinstance(one, Stored) for one in results)
    assert clinic.rows("SELECT image_count, series_count FROM radiology_study") == [(22, 2), (22, 2)]


def test_the_first_images_of_an_ordered_study_come_at_once_in_several_series(clinic: Clinic) -> None:
    clinic.order(clinic.patient(), accession_number="A7")
    files = [
        ct(number, series_uid=f"{STUDY}.{series}", AccessionNumber="A7")
        for number in range(1, 9)
        for series in (1, 2, 3)
    ]
    results = take_all(clinic, Breaking("north"), files)
    assert all(isinstance(one, Stored) for one in results)
    assert clinic.rows("SELECT image_count, series_count FROM radiology_study") == [(24, 3)]
    assert clinic.rows("SELECT state, version FROM radiology_order") == [("performed", 2)]


def test_a_study_is_given_to_its_order_only_after_its_series_was_counted(clinic: Clinic) -> None:
    """Whoever counts an image holds the series and asks for the study: the other way round two would wait for ever."""
    clinic.stow(ct(1, AccessionNumber="A7"))
    clinic.order(clinic.patient(), accession_number="A7")
    taking = threading.Thread(target=take_all, args=(clinic, Breaking("north"), [ct(2, AccessionNumber="A7")]))
    with tenant_session(clinic.tenant_id) as counting:
        counting.execute(text("SELECT FROM radiology_series FOR NO KEY UPDATE"))
        taking.start()
        deadline = time.monotonic() + 20
        while not clinic.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        counting.execute(text("SELECT FROM radiology_study FOR NO KEY UPDATE NOWAIT"))
    taking.join(20)
    assert clinic.rows("SELECT image_count, radiology_order_id IS NOT NULL FROM radiology_study") == [(2, True)]


def test_of_two_orders_named_at_once_for_a_new_study_one_is_performed(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's image is kept out before its bytes are: nothing of it lies in storage to be taken in by itself."""
    patient_id = clinic.patient()
    first, second = clinic.order(patient_id), clinic.order(patient_id)
    at_studies, make_study = threading.Barrier(2), writing_places.make_study

    def both(*given: Any) -> int:
        at_studies.wait(20)
        return make_study(*given)

    monkeypatch.setattr(writing, "make_study", both)
    spool, intake = spool_of(clinic.slug), Intake(clinic.tenant_id, SYSTEM, storage_for_new(clinic.slug), pool())

    def take(number: int, order_id: int) -> Stored | str:
        path = spool.fresh()
        path.write_bytes(ct(number))
        return _told(intake.take_many([Offer(path, "a.dcm", "form", radiology_order_id=order_id)])[0])

    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(take, (1, 2), (first, second)))
    assert [one for one in results if isinstance(one, str)] == ["order_differs"]
    assert sorted(clinic.rows("SELECT state FROM radiology_order")) == [("ordered",), ("performed",)]
    assert clinic.rows(
        "SELECT o.state, s.image_count FROM radiology_study s JOIN radiology_order o ON o.id = s.radiology_order_id"
    ) == [("performed", 1)]
    assert len(clinic.objects()) == 1


def test_an_image_yields_to_whichever_key_of_another_it_meets_first(clinic: Clinic, sizes: Counter[int]) -> None:
    """Of two under one UID at once that may be the file's: a UID that is changed stands for one not yet to be seen."""
    clinic.stow(ct(1))
    take_all(clinic, Breaking("north"), [ct(2)])
    clinic.rows("UPDATE radiology_image SET image_uid = '1.2.' || id WHERE image_uid LIKE '%.2' RETURNING 1")
    results = take_all(clinic, Breaking("north"), [ct(number) for number in (2, 3, 4)])
    assert [one if isinstance(one, str) else "stored" for one in results] == ["other_bytes", "stored", "stored"]
    assert sizes[2] == 1, "the others are stored together"
