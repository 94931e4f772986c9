"""submit-assignments and retry-submissions against a simulated analyser and a real database."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from deployments.simulators.instrument import SimulatedInstrument
from models.kernel.clock import utc_now
from models.kernel.settings import settings
from models.kernel.tables import AuditEvent
from models.kernel.tenancy import tenant_session
from tests.instruments.helpers import make_lab
from tests.instruments.world import SETTINGS, World, dump, end_back_off, run_sql, submit
from tests.kernel.statements import noted_statements

pytestmark = pytest.mark.contract


async def test_an_assignment_is_queued_with_the_documented_payload(world: World) -> None:
    (one,) = world.order(priority="stat")
    report = await submit()
    row, (entry,) = world.lab.assignment(one), world.one.entries
    assert (row.status, row.queue_id, row.queue_position) == ("Q", str(entry.id), 1)
    assert row.queued_at is not None
    assert row.next_poll_at is not None
    assert entry.request.request_id == f"REQ-{one}"
    assert entry.request.metadata.assignment_id == one
    assert entry.request.metadata.vendor_id == world.lab.tenant_id
    assert entry.idempotency_key == f"labwire-{world.lab.tenant_id}-REQ-{one}"
    assert world.delivery_states(one) == ["done"]
    assert world.lab.audited(one)[-1] == "assignment.queue"
    assert report.tally.message == "queued 1"


async def test_a_second_run_changes_no_row_and_calls_nobody(world: World) -> None:
    world.order(5)
    await submit()
    before, calls = dump("delivery", "assignment", "audit_event"), len(world.one.journal.entries())
    assert (await submit()).tally.message == "nothing to do"
    assert dump("delivery", "assignment", "audit_event") == before
    assert len(world.one.journal.entries()) == calls


async def test_stat_goes_before_urgent_before_routine(world: World) -> None:
    for priority in ("routine", "urgent", "stat"):
        world.order(30, priority=priority)
    world.one.faults.set("latency_ms", 5)
    await submit()
    sent = [entry.request.priority for entry in world.one.entries]
    assert sent[:30].count("stat") >= 22  # eight workers may have the next kind in hand already
    assert sent[-30:].count("routine") >= 22


async def test_two_runs_at_once_queue_each_assignment_once(world: World) -> None:
    ids = world.order(60)
    await asyncio.gather(submit(), submit(), submit())
    assert set(world.states(ids)) == {"Q"}
    assert len(world.one.entries) == 60
    assert world.one.journal.count(method="POST") == 60


async def test_two_hundred_runs_at_once_for_the_same_assignment_send_it_once(forgetful: World) -> None:
    (one,) = forgetful.order()
    await asyncio.gather(*(submit(assignment_id=one) for _ in range(200)))
    assert forgetful.one.journal.count(method="POST") == 1
    assert forgetful.lab.assignment(one).status == "Q"


async def test_an_outage_of_one_instrument_does_not_delay_another(world: World) -> None:
    with SimulatedInstrument(**SETTINGS) as silent:
        silent.faults.set("timeout_before_accepting")
        slow_id = world.connect(silent, timeout_seconds="5")
        stuck = world.order(20, equipment_id=slow_id, priority="stat")
        (quick_id,) = [place for place in world.simulators if place != slow_id]
        ids = world.order(100, equipment_id=quick_id)
        report = await submit()
        done = [world.lab.assignment(one).queued_at for one in ids]
    assert set(world.states(stuck)) == {"P"}
    states = [world.lab.deliveries(one)[0] for one in stuck]
    given_up = [delivery.answered_at for delivery in states if delivery.answered_at]
    assert max(at for at in done if at) < min(given_up)  # all were through before the silent one's time was up
    assert (
        sum(delivery.attempts for delivery in states) <= 10
    )  # left alone after three answers that did not come, eight in flight
    assert "not sent" in report.tally.problems


async def test_a_refused_connection_is_retried_with_growing_pauses_and_then_dead(world: World) -> None:
    (one,) = world.order()
    world.one.faults.set("refuse_connections")
    await submit()
    (delivery,) = world.lab.deliveries(one)
    assert (delivery.state, delivery.attempts) == ("due", 1)
    pauses: list[int] = []
    for _ in range(4):
        end_back_off()
        began = utc_now()
        await submit()
        assert world.lab.deliveries(one)[0].attempts == 1 + len(pauses)  # not the business of submit-assignments
        await submit(is_retry=True)
        (delivery,) = world.lab.deliveries(one)
        pauses.append(round((delivery.next_attempt_at - began) / timedelta(minutes=1)))
    assert pauses[:3] == [20, 40, 80]
    assert (delivery.state, delivery.attempts) == ("dead", settings().submission_attempts)
    row = world.lab.assignment(one)
    assert row.status == "F"
    assert "given up after 5 attempts" in row.remarks
    assert world.one.entries == ()


@pytest.mark.parametrize("fault", ["rate_limited", "unavailable"])
async def test_retry_after_is_obeyed_and_the_rest_of_the_queue_waits_unsent(world: World, fault: str) -> None:
    ids = world.order(40)
    world.one.faults.set(fault, 3600 * 2)
    began = utc_now()
    await submit()
    deliveries = [world.lab.deliveries(one)[0] for one in ids]
    assert {delivery.state for delivery in deliveries} == {"due"}
    assert all(delivery.next_attempt_at - began > timedelta(hours=1.9) for delivery in deliveries)
    assert sum(delivery.attempts for delivery in deliveries) == world.one.journal.count(method="POST") <= 8


async def test_an_answer_of_500_is_retried_under_the_same_key(world: World) -> None:
    (one,) = world.order()
    world.one.faults.set("server_error", times=1)
    await submit()
    assert world.lab.assignment(one).status == "P"
    end_back_off()
    await submit(is_retry=True)
    assert world.lab.assignment(one).status == "Q"
    first, second = world.one.journal.entries(method="POST")
    assert first.idempotency_key == second.idempotency_key == f"labwire-{world.lab.tenant_id}-REQ-{one}"
    assert first.request_id == second.request_id


async def test_a_refusal_is_dead_at_once_and_says_so(world: World) -> None:
    (one,) = world.order(test_code="LAB-NOTE")  # not on board: 422
    await submit()
    assert world.delivery_states(one) == ["dead"]
    row = world.lab.assignment(one)
    assert (row.status, "answered 422" in row.remarks) == ("F", True)


async def test_no_answer_where_keys_are_honoured_is_sent_again_and_not_doubled(world: World) -> None:
    (one,) = world.order()
    world.one.faults.set("timeout_after_accepting", times=1)
    await submit()
    assert (world.lab.assignment(one).status, world.delivery_states(one)) == ("P", ["due"])
    end_back_off()
    await submit(is_retry=True)
    assert world.lab.assignment(one).queue_id == str(world.one.entries[0].id)
    assert len(world.one.entries) == 1
    assert world.one.journal.count("repeated") == 1


@pytest.mark.parametrize("fault", ["timeout_after_accepting", "timeout_before_accepting"])
async def test_no_answer_where_keys_are_not_honoured_waits_for_a_person(forgetful: World, fault: str) -> None:
    (one,) = forgetful.order()
    forgetful.one.faults.set(fault, times=1)
    report = await submit()
    assert (forgetful.lab.assignment(one).status, forgetful.delivery_states(one)) == ("U", ["unknown"])
    assert report.tally.problems == {"unknown": 1}
    end_back_off()
    for is_retry in (False, True):
        await submit(is_retry=is_retry)
    assert forgetful.one.journal.count(method="POST") == 1
    assert forgetful.lab.audited(one)[-1] == "assignment.unknown"


async def test_an_unreadable_answer_is_unknown_with_its_text_kept(world: World) -> None:
    (one,) = world.order()
    world.one.faults.set("broken_json", times=1)
    await submit()
    (delivery,) = world.lab.deliveries(one)
    assert (world.lab.assignment(one).status, delivery.state) == ("U", "unknown")
    assert (delivery.last_answer or "").startswith('{"id":')


async def test_an_id_that_another_assignment_has_is_unknown_and_the_others_are_kept(world: World) -> None:
    world.order(1)
    await submit()
    world.one.faults.set("repeat_id", times=1)
    ids = world.order(10)
    report = await submit()
    states = world.states(ids)
    assert sorted(states) == ["Q"] * 9 + ["U"]
    assert (report.tally.counts["queued"], report.tally.problems["unknown"]) == (9, 1)


async def test_a_new_key_is_used_first_and_the_old_one_when_it_is_refused(world: World) -> None:
    from models.instruments.inputs import KeyInput
    from models.instruments.stores.equipment import add_key

    lab = world.lab
    with tenant_session(lab.tenant_id) as session:
        add_key(session, lab.tenant_id, lab.actor(), world.equipment_id, KeyInput(key="new-key-not-yet-there"))
    ids = world.order(20)
    await submit()
    assert set(world.states(ids)) == {"Q"}
    refused = [entry for entry in world.one.journal.entries() if entry.status == 401]
    assert 1 <= len(refused) <= 8  # only the first requests in flight tried the new key in vain
    world.one.options.api_keys = ("new-key-not-yet-there",)
    later = world.order(5)
    await submit()
    assert set(world.states(later)) == {"Q"}


async def test_a_key_that_is_not_accepted_stops_that_instrument_and_fails_no_assignment(world: World) -> None:
    world.one.options.api_keys = ("another",)
    ids = world.order(40)
    report = await submit()
    assert set(world.states(ids)) == {"P"}
    assert world.one.journal.count() <= 8
    assert report.tally.problems["not sent"] >= 32


async def test_a_key_that_cannot_be_decrypted_stops_that_instrument_alone(world: World) -> None:
    with SimulatedInstrument(**SETTINGS) as other:
        spoilt = world.equipment_id
        fine = world.connect(other)
        run_sql(f"UPDATE equipment_key SET secret = decode('00', 'hex') || secret WHERE equipment_id = {spoilt}")
        stuck, ids = world.order(2, equipment_id=spoilt), world.order(2, equipment_id=fine)
        report = await submit()
    assert (set(world.states(stuck)), set(world.states(ids))) == ({"P"}, {"Q"})
    assert f"instrument {spoilt}: its key cannot be decrypted" in report.tally.message


@pytest.mark.parametrize("change", ["status = 'inactive'", "status = 'maintenance'", "api_endpoint = NULL"])
async def test_an_instrument_that_cannot_be_sent_to_is_left_alone(world: World, change: str) -> None:
    (one,) = world.order()
    run_sql(f"UPDATE equipment SET {change}")
    assert (await submit()).tally.message == "nothing to do"
    assert (world.delivery_states(one), world.one.journal.count()) == (["due"], 0)


@pytest.mark.parametrize(
    "change", ["status = 'C'", "status = 'A'", "run_number = 2, request_id = 'REQ-X-2'", "equipment_id = NULL"]
)
async def test_an_assignment_that_does_not_wait_for_it_any_more_is_skipped(world: World, change: str) -> None:
    (one,) = world.order()
    run_sql(f"UPDATE assignment SET {change} WHERE id = {one}")
    await submit()
    assert (world.delivery_states(one), world.one.journal.count()) == (["skipped"], 0)


async def test_a_chosen_assignment_goes_at_once_and_alone(world: World) -> None:
    one, other = world.order(2)
    world.one.faults.set("server_error", times=2)
    await submit()
    await submit(assignment_id=one)
    assert world.states([one, other]) == ["Q", "P"]


async def test_tenants_are_served_together_and_one_slug_alone(world: World) -> None:
    other = World(make_lab("beta"), {})
    with SimulatedInstrument(**SETTINGS) as second:
        other.connect(second)
        mine, theirs = world.order(3), other.order(3)
        await submit("beta")
        assert (set(world.states(mine)), set(other.states(theirs))) == ({"P"}, {"Q"})
        await submit()
    assert set(world.states(mine)) == {"Q"}


async def test_the_audit_trail_names_the_flow(world: World) -> None:
    (one,) = world.order()
    await submit()
    with tenant_session(world.lab.tenant_id) as session:
        wanted = select(AuditEvent).where(AuditEvent.action == "assignment.queue")
        (row,) = session.scalars(wanted)
    assert (row.actor_kind, row.actor_label, row.resource_id) == ("flow", "submit-assignments", str(one))
    assert row.changes["status"] == ["P", "Q"]


def test_a_thousand_due_submissions_are_found_by_a_few_statements(world: World) -> None:
    world.order(1000)
    from models.instruments.stores.submissions import Which
    from tasks.instruments.submissions import find_due

    with noted_statements() as said:
        assert len(find_due("", Which()).places) == 1
    assert len(said) < 10
