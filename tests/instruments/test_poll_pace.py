"""Slow instruments, slow checks, and two answers about one assignment at the same moment."""

import asyncio
import threading
import time
from typing import Any

import pytest
from sqlalchemy import text

from models.instruments.stores.polls import LEASE_SECONDS, WhichPolls, claim_polls, release_polls
from models.instruments.stores.results import Outcome, complete_or_hold
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.tenancy import owner_session, tenant_session
from tasks.instruments import checking, fetching, polls
from tasks.instruments.checking import MOST_WAITING, Checker
from tasks.instruments.report import Report
from tests.instruments import helpers
from tests.instruments.world import World, poll, run_sql, submit


@pytest.mark.contract
async def test_an_instrument_that_may_take_a_minute_is_asked_all_the_same(world: World) -> None:
    (one,) = world.order()
    await submit()
    run_sql("UPDATE equipment SET timeout_seconds = 60")
    await poll()
    assert world.lab.assignment(one).status == "A"


@pytest.mark.contract
async def test_a_question_asked_too_late_for_its_lease_is_given_back_unasked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = world.order()
    await submit()
    monkeypatch.setattr(fetching, "WRITTEN_SECONDS", LEASE_SECONDS)
    await poll()
    row = world.lab.assignment(one)
    assert (row.status, row.poll_lease_owner, row.poll_leased_until) == ("Q", None, None)
    assert world.one.journal.count("fetched") == 0


@pytest.mark.unit
async def test_fetching_waits_while_checks_lag_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()

    def check(batch: list[Any], actor: Actor) -> Report:
        may_end.wait(10)
        return Report()

    monkeypatch.setattr(checking, "complete_surely", check)
    async with Checker(Actor("flow", "1", "poll-results")) as checker:
        for _ in range(MOST_WAITING - 1):
            checker.put(None)  # type: ignore[arg-type]  # the check looks at none of them
        await asyncio.wait_for(checker.room(), 5)
        checker.put(None)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        room = asyncio.create_task(checker.room())
        await asyncio.wait({room}, timeout=5)  # the first batch is taken: there is room, while it is being checked
        assert room.done()
        for _ in range(MOST_WAITING):
            checker.put(None)  # type: ignore[arg-type]
        waiting = asyncio.create_task(checker.room())
        await asyncio.wait({waiting}, timeout=0.2)
        assert not waiting.done()
        may_end.set()
        await asyncio.wait_for(waiting, 5)


@pytest.mark.unit
async def test_nobody_waits_for_a_checker_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(batch: list[Any], actor: Actor) -> Report:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(checking, "complete_surely", check)

    async def hand_in_and_wait() -> None:
        async with Checker(Actor("flow", "1", "poll-results")) as checker:
            for _ in range(2):
                for _ in range(2 * MOST_WAITING):
                    checker.put(None)  # type: ignore[arg-type]  # the check looks at none of them
                await asyncio.wait_for(checker.room(), 5)

    with pytest.raises(RuntimeError, match="gone"):
        await hand_in_and_wait()


@pytest.mark.contract
def test_the_same_result_polled_and_pushed_at_once_is_known_the_second_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = world.lab
    (one,) = lab.queued()
    body = lab.body(one)
    with tenant_session(lab.tenant_id) as session:  # messages are kept before anything is locked
        for each in (body, body + b" "):
            lab.keep(session, one, 1, each, utc_now())
    is_locked, said = threading.Event(), []

    def held_open(*args: Any, **kwargs: Any) -> list[Outcome]:
        if is_locked.is_set():
            return complete_or_hold(*args, **kwargs)
        outcomes = complete_or_hold(*args, **kwargs)
        is_locked.set()
        wait_for_a_waiting_lock()
        return outcomes

    monkeypatch.setattr(helpers, "complete_or_hold", held_open)
    first = threading.Thread(target=lambda: said.append(lab.answer(one, body)))
    first.start()
    assert is_locked.wait(20)
    second = lab.answer(one, body + b" ")
    first.join()
    assert (said[0].what, second.what) == ("completed", "ignored")
    assert len(lab.results(one)) == 1


def wait_for_a_waiting_lock() -> None:
    """Return once another transaction waits for one of ours."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with owner_session() as session:
            if session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


@pytest.mark.contract
def test_what_is_kept_and_not_yet_checked_is_not_asked_for_again(world: World) -> None:
    lab = world.lab
    (one,) = world.order()
    run_sql("UPDATE assignment SET status = 'Q', queue_id = '1', queued_at = now(), next_poll_at = now()")
    lab.equipment_id = world.equipment_id
    assert polls.find_due("", WhichPolls(utc_now())).places
    with tenant_session(lab.tenant_id) as session:
        lab.keep(session, one, 1, b"{}", utc_now())
    assert not polls.find_due("", WhichPolls(utc_now())).places
    assert not polls.find_due("", WhichPolls(utc_now(), assignment_id=one)).places


@pytest.mark.contract
async def test_of_a_chosen_instrument_each_result_is_asked_for_once_per_run(world: World) -> None:
    world.one.options.queue_seconds = 600
    world.order(30)
    await submit()
    report = await poll(equipment_id=world.equipment_id)
    assert world.one.journal.count("fetched") == 30
    assert report.tally.message == "queued 30"


@pytest.mark.contract
async def test_a_lease_is_given_back_by_its_holder_alone(world: World) -> None:
    (one,) = world.order()
    await submit()
    tenant_id, which = world.lab.tenant_id, WhichPolls(utc_now())
    with tenant_session(tenant_id) as session:
        assert len(claim_polls(session, tenant_id, which, {world.equipment_id: 5}, owner="first")) == 1
    with tenant_session(tenant_id) as session:
        release_polls(session, tenant_id, [one], owner="second")
        assert claim_polls(session, tenant_id, which, {world.equipment_id: 5}, owner="second") == []
        release_polls(session, tenant_id, [one], owner="first")
        assert len(claim_polls(session, tenant_id, which, {world.equipment_id: 5}, owner="second")) == 1
