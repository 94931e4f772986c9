"""What goes wrong with one of several files in a request is told of that one, and noted as of a request of its own."""

import errno
import gc
import logging
import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, TimeoutError

from api.imaging.resuming import Resuming
from models.imaging.intake import Intake
from models.imaging.offers import Offer
from models.imaging.preparing import Preparing, Ready
from models.kernel.errors import ConfigError
from tasks.clients.storage.growing import Growing
from tests.api.helpers import audited
from tests.imaging.conftest import BINARIES, Clinic, form_of, related
from tests.imaging.dicoms import ct
from tests.imaging.lines import wait_until
from tests.imaging.test_binaries import declared, slices, sums, told

pytestmark = pytest.mark.api
SECRET = "Doe^Jo P123"
MISTAKES = [
    (ValueError(SECRET), 500),
    (ConfigError("no folder"), 500),
    (DataError(SECRET, {}, Exception(SECRET)), 422),
    (IntegrityError(SECRET, {}, Exception(SECRET)), 409),
    (OperationalError(SECRET, {}, Exception(SECRET)), 503),
    (TimeoutError(SECRET), 503),
]


def fails_with(monkeypatch: pytest.MonkeyPatch, error: Exception, *upload_ids: int) -> None:
    """Preparing these uploads does not work."""
    ready = Preparing.ready

    def failing(self: Preparing, offer: Offer) -> Ready:
        if offer.upload_id in upload_ids:
            raise error
        return ready(self, offer)

    monkeypatch.setattr(Preparing, "ready", failing)


@pytest.mark.parametrize(("error", "status"), MISTAKES)
def test_an_error_of_one_is_that_ones(
    clinic: Clinic,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    asked_runs: list[str],
    error: Exception,
    status: int,
) -> None:
    files = slices(4)
    ids = declared(clinic, files)
    with monkeypatch.context() as patched:
        fails_with(patched, error, ids[1])
        answer = clinic.send_together(dict(zip(ids, files.values(), strict=True)))
    assert answer.status_code == 202, answer.text
    assert [one[1] for one in told(answer)] == [200, status, 200, 200]
    assert SECRET not in answer.text + caplog.text
    assert (type(error).__name__ in caplog.text) == (status >= 500)
    wait_until(lambda: len(asked_runs) == 1)
    [again] = told(clinic.send_together({ids[1]: files[2]}))
    assert again == (ids[1], 200, "stored")


def test_an_error_of_a_large_one_is_that_ones(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {1: ct(1), 2: ct(2, size=900), 3: ct(3)}
    ids = declared(clinic, files)
    fails_with(monkeypatch, OperationalError("", {}, Exception()), ids[1])
    answer = clinic.send_together(dict(zip(ids, files.values(), strict=True)))
    assert [one[1] for one in told(answer)] == [200, 503, 200]


def test_a_file_that_the_disk_does_not_know_any_more_is_that_ones(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = slices(3)
    ids = declared(clinic, files)
    look, seen = Growing._look, list[str]()

    def stale(self: Growing) -> os.stat_result:
        """The second time, when it is to be written to."""
        if self.path.name == str(ids[1]) in seen:
            raise OSError(errno.ESTALE, "stale")
        seen.append(self.path.name)
        return look(self)

    monkeypatch.setattr(Growing, "_look", stale)
    answer = clinic.send_together(dict(zip(ids, files.values(), strict=True)))
    assert [one[1] for one in told(answer)] == [200, 503, 200]


def test_a_mistake_in_what_all_share_is_told_of_each(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(Intake, "take_many", broken)
    answer = clinic.send_together(dict(zip(declared(clinic, slices(2)), slices(2).values(), strict=True)))
    assert (answer.status_code, [one[1] for one in told(answer)]) == (409, [500, 500])


@pytest.mark.parametrize("door", ["stow", "together"])
def test_what_nobody_asks_for_any_more_is_not_logged_with_its_values(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, door: str
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError(SECRET)

    files = slices(3)
    sent = dict(zip(declared(clinic, files), files.values(), strict=True))
    path = BINARIES if door == "together" else "/dicom-web/studies"
    body, content_type = form_of(sent) if door == "together" else related(list(files.values()))
    monkeypatch.setattr(Intake, "take_many", broken)
    answer = clinic.technician.post(path, content=body[:-4], headers={"Content-Type": content_type})
    assert answer.status_code == 409
    gc.collect()
    assert SECRET not in caplog.text


def test_a_foreign_one_is_noted_once_whatever_comes_after_it(
    clinic: Clinic, make_clinic: Callable[[str], Clinic]
) -> None:
    other = make_clinic("other-clinic")
    small, large = declared(other, {1: ct(1), 2: ct(2, size=900)})
    body, content_type = form_of({small: ct(1)})
    headers = {"Content-Type": content_type}

    def noted() -> list[int]:
        return [int(row.resource_id) for row in audited(clinic.tenant_id, "access.refused")]

    assert clinic.send_together({small: ct(1), "x": b"1"}).status_code == 422
    assert noted() == [small]
    assert clinic.technician.post(BINARIES, content=body[:-4], headers=headers).status_code == 400
    assert noted() == [small, small]
    assert told(clinic.send_together({large: ct(2, size=900)})) == [(large, 404, None)]
    assert noted() == [small, small, large]


def test_a_folder_that_is_not_mounted_is_told_of_and_logged(clinic: Clinic, caplog: pytest.LogCaptureFixture) -> None:
    files = slices(3)
    ids = declared(clinic, files)
    clinic.send(ids[0], files[1])
    shutil.rmtree(clinic.media)
    clinic.media.mkdir()
    with caplog.at_level(logging.ERROR):
        answer = clinic.send_together({ids[1]: files[2], ids[2]: files[3]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "not mounted" in answer.json()["error"]
    assert "not mounted" in caplog.text


def test_what_was_whole_is_stored_though_the_cut_one_cannot_be_kept(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, asked_runs: list[str]
) -> None:
    files = {1: ct(1), 2: ct(2, size=900)}
    ids = declared(clinic, files)
    hits = []

    def noted(*_: Any) -> None:
        hits.append(1)
        raise OperationalError("", {}, Exception("the line to the database broke"))

    monkeypatch.setattr(Resuming, "_noted", noted)
    body, content_type = form_of(dict(zip(ids, files.values(), strict=True)))
    answer = clinic.technician.post(BINARIES, content=body[:-100_000], headers={"Content-Type": content_type})
    assert (answer.status_code, [one[1] for one in told(answer)], len(hits)) == (202, [200, 400], 1)
    assert clinic.rows("SELECT state FROM image_upload ORDER BY id") == [("stored",), ("declared",)]
    assert {row.checksum for row in clinic.rows("SELECT checksum FROM radiology_image")} == sums(files[1])
    wait_until(lambda: len(asked_runs) == 1)
