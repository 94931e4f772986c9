"""poll-results against a simulated analyser and a real database."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from deployments.simulators.instrument import SimulatedInstrument
from models.instruments.sending import next_poll_at
from models.instruments.stores import results
from models.instruments.stores.pushes import accept_pushed
from models.instruments.tables import InstrumentMessage
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from tasks.instruments import checking
from tests.instruments.world import SETTINGS, World, dump, poll, poll_again, run_sql, submit

pytestmark = pytest.mark.contract
TABLES = ("assignment", "result", "held_result", "instrument_message", "audit_event", "delivery")


async def queued(world: World, count: int = 1, **given: Any) -> list[int]:
    ids = world.order(count, **given)
    await submit()
    return ids


def messages(world: World) -> list[InstrumentMessage]:
    with tenant_session(world.lab.tenant_id) as session:
        return list(session.scalars(select(InstrumentMessage).order_by(InstrumentMessage.id)))


async def test_a_finished_result_is_kept_checked_and_completed(world: World) -> None:
    (one,) = await queued(world)
    report = await poll()
    row, (result,), (message,) = world.lab.assignment(one), world.lab.results(one), messages(world)
    assert (row.status, row.next_poll_at, row.poll_lease_owner) == ("A", None, None)
    assert json.loads(message.body)["value"] == result.raw_value
    assert (result.message_id, result.source, message.processed_at is not None) == (message.id, "instrument", True)
    assert report.tally.message == "completed 1"


async def test_a_second_run_changes_no_row_and_asks_nobody(world: World) -> None:
    await queued(world, 5)
    await poll()
    before, calls = dump(*TABLES), len(world.one.journal.entries())
    assert (await poll()).tally.message == "nothing to do"
    assert dump(*TABLES) == before
    assert len(world.one.journal.entries()) == calls


async def test_two_pollers_at_once_fetch_nothing_twice(world: World) -> None:
    ids = await queued(world, 60)
    world.one.faults.set("latency_ms", 20)
    reports = await asyncio.gather(*(poll() for _ in range(3)))
    assert world.one.journal.count("fetched") == 60
    assert set(world.states(ids)) == {"A"}
    assert all(len(world.lab.results(one)) == 1 for one in ids)
    assert sum(report.tally.counts["completed"] for report in reports) == 60


async def test_queued_stays_running_makes_it_in_progress_and_it_is_asked_again(world: World) -> None:
    world.one.faults.set("stuck", "queued", times=1)
    (waiting,) = await queued(world)
    world.one.faults.set("stuck", "running", times=1)
    (running,) = await queued(world)
    began = utc_now()
    await poll()
    assert world.states([waiting, running]) == ["Q", "I"]
    row = world.lab.assignment(running)
    assert row.started_at is not None
    assert timedelta(minutes=9) < (row.next_poll_at or began) - began < timedelta(minutes=11)
    assert world.lab.audited(running)[-1] == "assignment.start"
    calls = len(world.one.journal.entries())
    await poll()  # not due
    assert len(world.one.journal.entries()) == calls
    poll_again()
    await poll()
    assert len(world.one.journal.entries()) == calls + 2
    assert messages(world) == []


def test_everything_is_asked_once_more_before_24_hours_are_over() -> None:
    now = utc_now()
    assert next_poll_at(now, now) == now + timedelta(minutes=10)
    queued_at = now - timedelta(hours=22, minutes=55)
    assert next_poll_at(now, queued_at) == queued_at + timedelta(hours=23)
    assert next_poll_at(now, now - timedelta(hours=25)) == now + timedelta(minutes=10)


async def test_a_failed_run_is_failed_with_its_remarks(world: World) -> None:
    world.one.faults.set("fail_run", times=1)
    (one,) = await queued(world)
    await poll()
    row = world.lab.assignment(one)
    assert (row.status, row.remarks) == ("F", "Aspiration error: clot detected")


async def test_a_forgotten_result_fails_and_says_why(world: World) -> None:
    (one,) = await queued(world)
    world.one.forget()
    report = await poll()
    row = world.lab.assignment(one)
    assert (row.status, row.next_poll_at) == ("F", None)
    assert row.remarks == "the instrument does not know this test (any more)"
    assert report.tally.problems == {"forgotten": 1}


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("wrong_id", "id"),
        ("wrong_patient", "patient"),
        ("wrong_test", "test"),
        ("wrong_unit", "unit"),
        ("wrong_sample", "sample"),
        ("failed_qc", "quality_control"),
        ("unparsable_value", "value"),
        ("missing_value", "value"),
        ("unknown_status", "unreadable"),
        ("completed_in_future", "time"),
        ("completed_before_queued", "time"),
        ("completed_without_zone", "time"),
        ("broken_json", "unreadable"),
        ("oversize_body", "unreadable"),
    ],
)
async def test_what_does_not_fit_is_held_with_its_rule_and_raw_text(world: World, fault: str, rule: str) -> None:
    ids = await queued(world, 3)
    world.one.faults.set(fault, request_id=f"REQ-{ids[1]}", operation="results")
    report = await poll()
    assert world.states(ids) == ["A", "H", "A"]
    (held,) = world.lab.held(ids[1])
    assert [violation["rule"] for violation in held.violations] == [rule]
    assert report.tally.message == "completed 2, held 1"
    kept = [message for message in messages(world) if message.id == held.message_id]
    assert len(kept[0].body) > 50


async def test_the_same_bytes_fetched_again_are_held_again_in_the_same_row(world: World) -> None:
    world.one.faults.set("wrong_patient")
    (one,) = await queued(world)
    await poll()
    run_sql(
        "UPDATE held_result SET state = 'refetched'",
        "UPDATE assignment SET status = 'Q', next_poll_at = now() WHERE status = 'H'",
    )
    await poll()
    assert (world.lab.assignment(one).status, len(messages(world))) == ("H", 1)
    assert [held.state for held in world.lab.held(one)] == ["open"]


async def test_where_most_results_of_an_instrument_are_wrong_the_rest_is_held_too(world: World) -> None:
    ids = await queued(world, 30)
    for one in ids[:16]:
        world.one.faults.set("wrong_unit", request_id=f"REQ-{one}")
    await poll()
    assert set(world.states(ids)) == {"H"}
    (held,) = world.lab.held(ids[-1])
    assert [violation["rule"] for violation in held.violations] == ["batch"]


async def test_the_suite_holds_what_the_row_rules_let_through(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "check_result", lambda *_: [])
    ids = await queued(world, 3)
    world.one.faults.set("wrong_unit", request_id=f"REQ-{ids[1]}")
    await poll()
    assert world.states(ids) == ["A", "H", "A"]
    (held,) = world.lab.held(ids[1])
    assert [(violation["rule"], violation["field"]) for violation in held.violations] == [("suite", "unit")]
    assert "mmol" not in str(held.violations)


async def test_a_suite_that_cannot_judge_lets_nothing_through(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("no verdict")

    (one,) = await queued(world)
    monkeypatch.setattr(checking, "judge", broken)
    report = await poll()
    assert (world.lab.assignment(one).status, len(messages(world))) == ("Q", 1)
    assert report.tally.problems == {"not checked": 1}
    monkeypatch.undo()
    run_sql("UPDATE assignment SET poll_leased_until = now()")
    calls = len(world.one.journal.entries())
    await poll()
    assert world.lab.assignment(one).status == "A"
    assert len(world.one.journal.entries()) == calls  # kept already: not fetched again


async def test_one_message_that_cannot_be_stored_does_not_keep_the_others_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await queued(world, 9)
    original = results.complete_or_hold

    def picky(session: Any, tenant_id: int, actor: Actor, checked: Any, **given: Any) -> Any:
        if any(one.expected.assignment_id == ids[4] for one in checked):
            raise RuntimeError("this one")
        return original(session, tenant_id, actor, checked, **given)

    monkeypatch.setattr(checking, "complete_or_hold", picky)
    report = await poll()
    assert world.states(ids) == ["A"] * 4 + ["Q"] + ["A"] * 4
    assert (report.tally.counts["completed"], report.tally.problems["not checked"]) == (8, 1)


async def test_an_outage_of_one_instrument_does_not_delay_the_results_of_another(world: World) -> None:
    with SimulatedInstrument(**SETTINGS) as silent:
        slow_id = world.connect(silent, timeout_seconds="60")
        (quick_id,) = [place for place in world.simulators if place != slow_id]
        stuck = await queued(world, 20, equipment_id=slow_id)
        ids = await queued(world, 100, equipment_id=quick_id)
        silent.faults.set("timeout_before_accepting")
        polled, began = asyncio.create_task(poll()), utc_now()
        while set(await asyncio.to_thread(world.states, ids)) != {"A"}:
            assert not polled.done()
            await asyncio.sleep(0.1)
        assert not polled.done()  # all were through while the silent one was still waited for
        assert utc_now() - began < timedelta(seconds=60)
        silent.faults.set("refuse_connections")  # its connections are cut: nobody waits for its time to be up
        report = await polled
    assert set(world.states(stuck)) == {"Q"}
    assert report.tally.problems["not asked"] > 0


async def test_an_instrument_that_is_not_reached_is_asked_again_in_ten_minutes(world: World) -> None:
    (one,) = await queued(world)
    world.one.faults.set("server_error")
    await poll()
    row = world.lab.assignment(one)
    assert (row.status, row.poll_lease_owner) == ("Q", None)
    assert row.next_poll_at is not None
    assert row.next_poll_at > utc_now() + timedelta(minutes=9)


async def test_without_automatic_fetching_only_a_person_asks(world: World) -> None:
    run_sql("UPDATE equipment SET supports_auto_fetch = false")
    one, other = await queued(world, 2)
    assert (await poll()).tally.message == "nothing to do"
    await poll(assignment_id=one)
    assert world.states([one, other]) == ["A", "Q"]
    await poll(equipment_id=world.equipment_id)
    assert world.states([one, other]) == ["A", "A"]


async def test_a_chosen_instrument_is_asked_once_for_each_unfinished_result(world: World) -> None:
    world.one.faults.set("stuck", "running")
    ids = await queued(world, 3)
    await poll(equipment_id=world.equipment_id)
    assert world.one.journal.count("fetched") == 3
    assert set(world.states(ids)) == {"I"}


async def test_a_cancelled_assignment_is_not_touched_by_a_late_answer(world: World) -> None:
    (one,) = await queued(world)
    world.one.faults.set("latency_ms", 400)

    async def cancel() -> None:
        await asyncio.sleep(0.2)
        run_sql(f"UPDATE assignment SET status = 'C', version = version + 1 WHERE id = {one}")

    await asyncio.gather(poll(), cancel())
    assert world.lab.assignment(one).status == "C"
    assert world.lab.results(one) == []


async def test_a_pushed_result_passes_the_same_checks_and_is_not_fetched(world: World) -> None:
    lab = world.lab
    (one,) = await queued(world)
    device = Actor("instrument", str(world.equipment_id), "Analyser")
    with tenant_session(lab.tenant_id) as session:
        accept_pushed(session, lab.tenant_id, device, world.equipment_id, lab.body(one), now=utc_now())
    assert (await poll()).tally.message == "completed 1"
    assert [result.source for result in lab.results(one)] == ["push"]
    assert world.one.journal.count("fetched") == 0


async def test_a_pushed_result_of_the_wrong_patient_is_held(world: World) -> None:
    lab = world.lab
    (one,) = await queued(world)
    device = Actor("instrument", str(world.equipment_id), "Analyser")
    body = lab.body(one, patientId="PAT-OTHER")
    with tenant_session(lab.tenant_id) as session:
        accept_pushed(session, lab.tenant_id, device, world.equipment_id, body, now=utc_now())
    await poll()
    assert lab.assignment(one).status == "H"


async def test_an_instrument_in_maintenance_is_still_asked_and_an_inactive_one_is_not(world: World) -> None:
    one, other = await queued(world, 2)
    run_sql("UPDATE equipment SET status = 'inactive'")
    assert (await poll()).tally.message == "nothing to do"
    run_sql("UPDATE equipment SET status = 'maintenance'")
    await poll()
    assert world.states([one, other]) == ["A", "A"]
