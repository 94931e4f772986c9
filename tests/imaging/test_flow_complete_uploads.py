"""Uploads whose process died are finished; what belongs to nothing leaves the spool; one stops no other."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.imaging.complete_uploads import complete_uploads
from models.imaging.intake import Intake
from models.imaging.stores import uploads
from models.kernel.audit import SYSTEM
from models.kernel.errors import ConfigError
from models.kernel.tenancy import tenant_session
from tasks.clients.storage.filesystem import FilesystemStorage
from tasks.clients.storage.spool import spool_of
from tasks.imaging import completing
from tasks.imaging.completing import Completing
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct, picture
from tests.imaging.drops import artifact, in_processes
from tests.imaging.stopped_uploads import declared, ended, run, states

pytestmark = [pytest.mark.store]


def make_old(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in the spool has lain there for more than a day."""
    monkeypatch.setattr(completing, "KEEP_SECONDS", -1)


@pytest.mark.flow
@pytest.mark.rerun
@pytest.mark.xdist_group("prefect")
async def test_what_a_dead_process_had_received_is_stored_and_a_second_run_finds_nothing(
    clinic: Clinic, prefect_server: None
) -> None:
    declared(clinic, ct(1), ct(2))
    state = await complete_uploads(return_state=True)
    assert (state.is_completed(), state.message) == (True, "finished 2, images described 2")
    rows = await artifact("complete-uploads-uploads")
    assert [(row["tenant"], row["outcome"]) for row in rows] == [("north", "finished")] * 2
    before = (states(clinic), clinic.objects())
    assert before[0] == ["stored", "stored"]
    assert clinic.spool() == []
    again = await complete_uploads(tenant=clinic.slug, return_state=True)
    assert again.message == "nothing to do"
    assert (states(clinic), clinic.objects()) == before
    assert len(clinic.rows("SELECT 1 FROM radiology_image")) == 2


def test_a_file_other_than_declared_begins_again_and_one_a_rule_keeps_out_is_held(clinic: Clinic) -> None:
    clinic.stow(ct(1, PatientID="P999"))
    damaged, held = declared(clinic, ct(1, study_uid="1.2.3", series_uid="1.2.3.1"), ct(2))
    spool_of(clinic.slug).of_upload(damaged).write_bytes(b"x" * len(ct(1, study_uid="1.2.3", series_uid="1.2.3.1")))
    report = ended()
    assert report.tally.message == "damaged on the way 1, held 1"
    assert report.rows() == [
        {"tenant": "north", "upload": held, "outcome": "held", "rule": "study_of_another"},
        {"tenant": "north", "upload": damaged, "outcome": "damaged on the way", "rule": "checksum"},
    ]
    rows = {row.id: row for row in clinic.rows("SELECT id, state, rule, received_bytes FROM image_upload")}
    assert (rows[damaged].state, rows[damaged].received_bytes) == ("declared", 0)
    assert (rows[held].state, rows[held].rule) == ("held", "study_of_another")
    assert {path.name: path.stat().st_size for path in clinic.spool()} == {str(damaged): 0, str(held): len(ct(2))}
    assert run().message == "nothing to do"


def test_what_is_not_complete_or_being_sent_is_left_alone(clinic: Clinic) -> None:
    sent, torn = declared(clinic, ct(1), ct(2))
    with spool_of(clinic.slug).opened(torn) as growing:
        growing.empty()
        growing.write(ct(2)[:100], 0)
    with spool_of(clinic.slug).opened(sent):
        assert run().message == "being sent 1"
    assert states(clinic) == ["declared", "declared"]
    assert run().message == "finished 1"
    assert spool_of(clinic.slug).size_of(torn) == 100


def test_the_spool_keeps_what_is_open_and_loses_the_rest(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    (opened,) = declared(clinic, ct(1))
    spool = spool_of(clinic.slug)
    with spool.opened(opened) as growing:
        growing.empty()
    spool.fresh().write_bytes(b"left by a kill")
    spool.of_upload(9001).write_bytes(b"of nobody")
    assert run().message == "nothing to do"
    make_old(clinic, monkeypatch)
    assert run().message == "temporary files removed 1, files of ended uploads removed 1"
    assert [path.name for path in clinic.spool()] == [str(opened)]
    with tenant_session(clinic.tenant_id) as session:
        uploads.give_up(session, clinic.tenant_id, SYSTEM, opened, uploads.Ending("discarded", "by hand"))
    assert run().message == "files of ended uploads removed 1"
    assert clinic.spool() == []


def test_an_image_whose_upload_is_not_known_is_taken_in_and_not_removed(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.stow(ct(1, PatientID="P999"))
    spool = spool_of(clinic.slug)
    for number, file in ((9001, ct(2, study_uid="1.2.3", series_uid="1.2.3.1")), (9002, ct(3)), (9003, picture())):
        spool.of_upload(number).write_bytes(file)
    make_old(clinic, monkeypatch)
    report = ended()
    assert report.tally.message == "strays taken in 3"
    [held] = clinic.rows("SELECT id, rule FROM image_upload")
    assert report.rows() == [{"tenant": "north", "upload": held.id, "outcome": "held", "rule": held.rule}]
    assert states(clinic) == ["held"]
    assert len(clinic.rows("SELECT 1 FROM radiology_image WHERE source = 'storage'")) == 2
    assert len(clinic.spool()) == 1
    assert run().message == "nothing to do"


@pytest.mark.parametrize("slug", ["north", "south"])
def test_an_upload_that_a_person_must_see_to_stops_no_other_and_no_other_tenant(
    clinic: Clinic, make_clinic: Callable[[str], Clinic], monkeypatch: pytest.MonkeyPatch, slug: str
) -> None:
    """The run is Failed, with a count."""
    clinics = {"north": clinic, "south": make_clinic("south")}
    numbers = {each.slug: declared(each, ct(1), ct(2)) for each in clinics.values()}
    put = FilesystemStorage.put

    def refusing(storage: FilesystemStorage, key: str, source: Path, **more: Any) -> bool:
        if source == spool_of(slug).of_upload(numbers[slug][0]):
            raise ConfigError("image storage: no right to do this (LABWIRE_MEDIA_ROOT)")
        return put(storage, key, source, **more)

    monkeypatch.setattr(FilesystemStorage, "put", refusing)
    tally = run()
    told = f"upload {numbers[slug][0]} of tenant {clinics[slug].tenant_id}"
    assert (tally.counts, tally.problems, tally.notes) == ({"finished": 3}, {"not taken in": 1}, [told])
    assert tally.as_state().is_failed()
    assert [states(each) == ["stored", "stored"] for each in clinics.values()] == [slug != "north", slug != "south"]


def test_of_a_tenant_whose_storage_is_not_set_up_the_others_are_described(
    clinic: Clinic, make_clinic: Callable[[str], Clinic]
) -> None:
    south = make_clinic("south")
    for each in (clinic, south):
        each.stow(ct(1))
    clinic.rows("UPDATE radiology_image SET backend = 's3' RETURNING 1")
    tally = run(Completing.describe)
    assert (tally.counts, tally.problems) == (
        {"images described": 1},
        {"tenants whose images cannot be read": 1},
    )


STEPS = {"before it is stored": "before", "after it is stored": "after"}


def run_and_die(when: str) -> None:
    """A run that ends itself before or after an image is taken in."""
    original = Intake.take

    def die(*args: Any) -> Any:
        if when == "after":
            original(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    Intake.take = die  # type: ignore[method-assign,assignment]
    run()


@pytest.mark.rerun
@pytest.mark.parametrize("name", STEPS)
def test_killed_anywhere_the_next_run_ends_the_same(clinic: Clinic, name: str) -> None:
    declared(clinic, ct(1), ct(2))
    assert in_processes(lambda: run_and_die(STEPS[name])) == [-signal.SIGKILL]
    run()
    assert states(clinic) == ["stored", "stored"]
    assert clinic.spool() == []
    assert len(clinic.objects()) == 2
    assert run().message == "nothing to do"


@pytest.mark.rerun
def test_two_runs_at_once_store_each_upload_once(clinic: Clinic) -> None:
    declared(clinic, *(ct(number) for number in range(1, 9)))
    assert in_processes(run, run) == [0, 0]
    run()
    assert states(clinic) == ["stored"] * 8
    assert len(clinic.rows("SELECT 1 FROM audit_event WHERE action = 'image.store'")) == 8
