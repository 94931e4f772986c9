"""upload-study killed at any step: every source is in the inbox, claimed or archived, and each image is stored once."""

import signal
from typing import Any

import pytest

from models.imaging.intake import Intake
from tasks.clients import moving
from tasks.clients.claims import Claims
from tasks.imaging import uploading
from tasks.imaging.outcomes import StudyReport
from tasks.imaging.unpacking import Contents
from tests.imaging.dicoms import ct
from tests.imaging.drops import Drop, die_at, in_processes, study, zipped

pytestmark = [pytest.mark.store, pytest.mark.rerun]
STEPS: dict[str, tuple[Any, str, str, int]] = {
    "before the first claim": (Claims, "take", "before", 1),
    "after the first claim": (Claims, "take", "after", 1),
    "while files are copied": (Contents, "_copied", "after", 2),
    "before they are judged": (uploading, "judge", "before", 1),
    "before the first is stored": (Intake, "take", "before", 1),
    "when some are stored": (Intake, "take", "after", 2),
    "before what was found is kept": (uploading, "record_validation", "before", 1),
    "before the first move": (moving, "move", "before", 1),
    "after the first move": (moving, "move", "after", 1),
    "after a bad one's reason": (moving, "write_new", "after", 1),
    "after the last move": (StudyReport, "add", "before", 3),
}


def give_sources(drop: Drop) -> None:
    order = drop.clinic.order(drop.clinic.patient("P123"))
    drop.put("a", study(3))
    drop.put(f"order-{order}.zip", zipped(study(2, study_uid="1.2.3", series_uid="1.2.3.1")))
    drop.put("c.dcm", b"no image")


@pytest.mark.chaos
@pytest.mark.parametrize("name", STEPS)
def test_killed_anywhere_no_source_and_no_image_is_lost_or_doubled(drop: Drop, name: str) -> None:
    give_sources(drop)

    def dying() -> None:
        die_at(*STEPS[name])
        drop.run()

    assert in_processes(dying) == [-signal.SIGKILL]
    drop.run()
    assert drop.names("inbox") == []
    assert drop.claimed() == []
    assert len(drop.names("archive")) == 2
    bad = [each for each in drop.names("quarantine") if not each.endswith(".txt")]
    assert [each[:1] for each in bad] == ["c"]
    assert (drop.base / "quarantine" / "north" / f"{bad[0]}.reason.txt").exists()
    assert len(drop.uids()) == len(drop.clinic.objects()) == 5
    studies = drop.clinic.rows("SELECT image_count, radiology_order_id IS NULL FROM radiology_study ORDER BY 1")
    assert [tuple(row) for row in studies] == [(2, False), (3, True)]
    assert drop.run().tally.message == "nothing to do"


def test_two_runs_at_once_share_the_sources(drop: Drop) -> None:
    drop.put("0", ct(1))
    drop.run()  # imports the suite before the forks
    for number in range(2, 12):
        drop.put(f"{number}.dcm", ct(number))
    assert in_processes(drop.run, drop.run) == [0, 0]
    assert len(drop.uids()) == len(drop.names("archive")) == 11
    assert drop.names("inbox") == drop.names("quarantine") == []


def test_the_order_a_person_named_outlives_the_run(drop: Drop) -> None:
    order = drop.clinic.order(drop.clinic.patient("P123"))
    drop.put("a", study(2))

    def dying() -> None:
        die_at(Contents, "_copied", "after", 1)
        drop.run(source="a", order_id=order)

    assert in_processes(dying) == [-signal.SIGKILL]
    assert drop.run().tally.message == "sources archived 1, images stored 2"
    [row] = drop.clinic.rows("SELECT radiology_order_id FROM radiology_study")
    assert row.radiology_order_id == order
