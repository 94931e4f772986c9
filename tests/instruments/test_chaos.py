"""The process of submit and of poll killed with SIGKILL at every step, then run again.

One queue entry and one result for each assignment; only requests in flight are unknown, and only where the instrument
does not honour our key.
"""

import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlalchemy import text

from models.kernel.tenancy import owner_session
from tasks.instruments.connections import CONNECTIONS
from tests.instruments.killed_run import POLL, SUBMIT
from tests.instruments.world import World, expire_leases, poll, submit

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
COUNT = 60
# What a run of this size does for all assignments together, so that it is reached only once or twice.
BY_GROUP = {
    "before the claim is committed",
    "before the raw answer is written",
    "before the raw answer is committed",
    "before the batch is judged",
    "before the result is written",
    "while the result is written",
    "before the result is committed",
    "after the result is committed",
}


def in_the_middle(steps: Iterable[str]) -> list[tuple[str, int]]:
    """Each step, and how often it is reached before the process dies."""
    return [(step, 1 if step in BY_GROUP else 3) for step in steps]


def killed(process: str, step: str, times: int) -> None:
    """Run the process until it kills itself there."""
    line = [sys.executable, "-m", "tests.instruments.killed_run", process, step, str(times)]
    done = subprocess.run(line, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def in_flight() -> set[int]:
    """The assignments whose request was on its way when the process died."""
    statement = text(
        "SELECT CAST(split_part(entity, ':', 2) AS bigint) FROM delivery WHERE state = 'leased' AND sent_at IS NOT NULL"
    )
    with owner_session() as session:
        return set(session.scalars(statement))


def kept() -> set[int]:
    """The assignments whose raw answer is safe."""
    with owner_session() as session:
        return set(session.scalars(text("SELECT assignment_id FROM instrument_message")))


@pytest.mark.parametrize(("step", "times"), in_the_middle(SUBMIT))
async def test_submit_killed_where_keys_are_honoured_queues_each_once(world: World, step: str, times: int) -> None:
    ids = world.order(COUNT)
    world.one.faults.set("latency_ms", 40)
    killed("submit", step, times)
    expire_leases()
    await submit()
    assert set(world.states(ids)) == {"Q"}
    entries = [entry.request.request_id for entry in world.one.entries]
    assert sorted(entries) == sorted(f"REQ-{one}" for one in ids)
    assert all(world.delivery_states(one) == ["done"] for one in ids)
    assert all(world.lab.audited(one).count("assignment.queue") == 1 for one in ids)


@pytest.mark.parametrize("step", SUBMIT)
async def test_submit_killed_where_keys_are_not_honoured_leaves_only_requests_in_flight_unknown(
    forgetful: World, step: str
) -> None:
    ids = forgetful.order(COUNT)
    forgetful.one.faults.set("latency_ms", 40)
    killed("submit", step, 2)
    flying = in_flight()
    assert len(flying) <= CONNECTIONS
    expire_leases()
    await submit()
    states = dict(zip(ids, forgetful.states(ids), strict=True))
    assert {one for one, state in states.items() if state == "U"} == flying
    assert {state for one, state in states.items() if one not in flying} == {"Q"}
    entries = [entry.request.request_id for entry in forgetful.one.entries]
    assert len(entries) == len(set(entries))
    assert {f"REQ-{one}" for one in ids if one not in flying} <= set(entries)


@pytest.mark.parametrize(("step", "times"), in_the_middle(POLL))
async def test_poll_killed_completes_each_once_and_fetches_nothing_twice_that_was_kept(
    world: World, step: str, times: int
) -> None:
    ids = world.order(COUNT)
    await submit()
    world.one.faults.set("latency_ms", 40)
    killed("poll", step, times)
    safe = kept()
    world.one.faults.clear()
    world.one.journal.clear()
    expire_leases()
    await poll()
    assert set(world.states(ids)) == {"A"}
    assert all(len(world.lab.results(one)) == 1 for one in ids)
    assert all(world.lab.audited(one).count("assignment.complete") == 1 for one in ids)
    asked = {entry.request_id for entry in world.one.journal.entries(outcome="fetched")}
    assert asked == {f"REQ-{one}" for one in ids if one not in safe}
    assert len(kept()) == COUNT
