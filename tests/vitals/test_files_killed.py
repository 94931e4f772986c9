"""A run killed at any step: every file is in the inbox, claimed or in the archive, and each reading is stored once."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from models.kernel import db
from models.vitals.stores.storing import forget_ids
from tasks.clients import moving
from tasks.clients.claims import Claims
from tasks.vitals import inbox, ingest, outcomes, storing
from tests.vitals.files import Drop, reading

pytestmark = [pytest.mark.store, pytest.mark.rerun]
Step = tuple[Any, str, str, int]

STEPS: dict[str, Step] = {
    "before the first claim": (Claims, "take", "before", 1),
    "after the first claim": (Claims, "take", "after", 1),
    "when all are claimed": (inbox, "read", "before", 1),
    "when some are read": (inbox, "read", "after", 3),
    "before they are judged": (ingest, "judge", "before", 1),
    "when they are judged": (ingest, "judge", "after", 1),
    "before the first commit": (storing, "store_file_readings", "after", 1),
    "after the first commit": (storing, "store_file_readings", "before", 3),
    "before the last commit": (storing, "record_validation", "after", 1),
    "before the first move": (moving, "move", "before", 1),
    "after the first move": (moving, "move", "after", 1),
    "before a bad file's reason": (moving, "quarantine", "before", 1),
    "between the reason and the move": (moving, "write_new", "after", 1),
    "after the last move": (outcomes.FileReport, "add", "before", 5),
    "before the folders are durable": (moving, "sync_folder", "before", 1),
    "before the run gives back its folder": (Claims, "__exit__", "before", 1),
}


def die_at(step: Step) -> None:
    """Replace the function of that step by one that ends this process before or after its n-th call."""
    owner, name, when, times = step
    original: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == times and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls[0] == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, counted)


def killed(drop: Drop, step: Step | None) -> int:
    """The run in a process of its own (a fork: importing the suite takes seconds); how that ended."""
    child = os.fork()
    if not child:
        try:
            db.engine.cache_clear()  # the connections are the parent's
            forget_ids()
            storing.MOST_AT_ONCE = 4  # type: ignore[attr-defined]
            if step is not None:
                die_at(step)
            drop.run()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def everything(drop: Drop) -> list[str]:
    names = [name.split("/")[-1] for folder in ("inbox", "archive", "quarantine") for name in drop.names(folder)]
    return sorted(name.split("_")[0].removesuffix(".json") for name in names if not name.endswith(".txt"))


def give_files(drop: Drop) -> None:
    drop.put("a.json", reading(30, heart_rate=60))
    drop.put("b.json", [reading(29 - number, heart_rate=61 + number) for number in range(5)])
    drop.put("c.json", [reading(20, heart_rate=66), reading(19, heart_rate="x")])
    drop.put("d.json", reading(18, heart_rate=67), "clinic")
    drop.put("e.json", [reading(17, heart_rate=2), reading(16, heart_rate=68)])


@pytest.mark.parametrize("name", STEPS)
def test_killed_anywhere_no_file_and_no_reading_is_lost_or_doubled(drop: Drop, name: str) -> None:
    give_files(drop)
    assert killed(drop, STEPS[name]) == -signal.SIGKILL
    assert everything(drop) == ["a", "b", "c", "d", "e"]
    drop.run()
    assert everything(drop) == ["a", "b", "c", "d", "e"]
    assert drop.names("inbox") == []
    assert len(drop.names("archive")) == 4
    assert len([name for name in drop.names("quarantine") if not name.endswith(".reason.txt")]) == 1
    assert drop.heart_rates() == list(range(60, 69))
    assert len(drop.clinic.rows("SELECT 1 FROM held_reading")) == 1
    before = drop.clinic.rows("SELECT CAST(v AS text) FROM vital_sign v ORDER BY 1")
    assert drop.run().tally.message == "nothing to do"
    assert drop.clinic.rows("SELECT CAST(v AS text) FROM vital_sign v ORDER BY 1") == before


def test_killed_twice_in_a_row_what_the_first_had_claimed_is_still_taken_up(drop: Drop) -> None:
    give_files(drop)
    for name in ("when all are claimed", "before the first commit"):
        assert killed(drop, STEPS[name]) == -signal.SIGKILL
    assert killed(drop, None) == 0
    assert drop.heart_rates() == list(range(60, 69))
    assert drop.names("inbox") == []
    assert [path.name for path in (drop.inbox / ".claimed").iterdir()] == [".lock"]


def test_what_a_running_run_has_claimed_is_left_to_it(drop: Drop) -> None:
    drop.put("a.json", reading())
    with Claims(drop.inbox) as running:
        taken = running.take(drop.inbox / "a.json", "")
        assert taken is not None
        assert drop.run().tally.message == "nothing to do"
        assert taken.path.exists()
    assert drop.run().tally.message == "files archived 1, readings stored 1"


def test_two_runs_at_once_share_the_files(drop: Drop) -> None:
    drop.run()  # imports the suite before the forks
    for number in range(40):
        drop.put(f"{number:02}.json", reading(number + 1))
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            try:
                db.engine.cache_clear()
                forget_ids()
                drop.run()
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert len(drop.heart_rates()) == len(drop.names("archive")) == 40
    assert drop.names("inbox") == drop.names("quarantine") == []
