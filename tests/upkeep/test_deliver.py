"""The outbox is carried: in order, once, tried again, given up after so many attempts, and never lost."""

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest
from sqlalchemy import update

from deployments.simulators.mailbox import Mailbox
from models.kernel import outbox
from models.kernel.audit import SYSTEM
from models.kernel.clock import utc_now
from models.kernel.errors import NotFoundError
from models.kernel.tables import Delivery, OutboxEvent
from models.kernel.tenancy import owner_session, tenant_session
from tasks.tally import Tally
from tasks.upkeep.deliver import deliver_kinds
from tasks.upkeep.destinations import KINDS
from tests.conftest import Database
from tests.factories import make_tenant
from tests.upkeep.helpers import deliveries, let_time_pass, message_ids, publish_mail, states, use_mailbox
from tests.upkeep.killed_sender import STEPS

pytestmark = pytest.mark.store


async def deliver(tenant: str = "") -> Tally:
    return await deliver_kinds(KINDS, tenant, idle_seconds=0.1)


async def test_the_mail_of_every_tenant_goes_out_once(mailbox: Mailbox) -> None:
    north, south = make_tenant("north"), make_tenant("south")
    publish_mail(north, 30)
    publish_mail(south, 5)
    tally = await deliver()
    assert tally.message == "sent 35"
    assert sorted(message_ids(mailbox).values()) == [1] * 35
    assert states(north) == {"done": 30}
    assert {delivery.last_answer for delivery in deliveries(south)} == {"250 2.0.0 taken"}


async def test_one_tenant_alone_when_asked(mailbox: Mailbox) -> None:
    north, south = make_tenant("north"), make_tenant("south")
    publish_mail(north, 1)
    publish_mail(south, 1)
    await deliver("south")
    assert (states(north), states(south)) == ({"due": 1}, {"done": 1})
    with pytest.raises(NotFoundError, match="no active tenant"):
        await deliver("west")


@pytest.mark.rerun
async def test_a_second_run_sends_nothing_and_changes_nothing(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 5)
    await deliver()
    before = [vars(delivery) for delivery in deliveries(north)]
    assert (await deliver()).message == "nothing to do"
    after = [vars(delivery) for delivery in deliveries(north)]
    assert [{**row, "_sa_instance_state": 0} for row in after] == [{**row, "_sa_instance_state": 0} for row in before]
    assert mailbox.attempts == 5


async def test_two_runs_at_once_send_nothing_twice(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 150)
    tallies = await asyncio.gather(*[deliver() for _ in range(4)])
    assert sum(tally.counts["sent"] for tally in tallies) == 150
    assert sorted(message_ids(mailbox).values()) == [1] * 150


async def test_mail_of_one_entity_goes_in_order(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 6, entity="assignment:1")
    await deliver()
    assert [message.recipients for message in mailbox.messages] == [[f"patient{n}@example.org"] for n in range(6)]


async def test_what_becomes_due_while_a_run_lasts_goes_with_it(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    run = asyncio.create_task(deliver_kinds(KINDS, idle_seconds=1.5))
    await asyncio.sleep(0.3)
    publish_mail(north, 1)
    assert (await run).message == "sent 1"


async def test_4xx_is_tried_again_after_a_growing_pause_and_then_dead(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mailbox(mailbox, monkeypatch, LABWIRE_MAIL_ATTEMPTS="3")
    north = make_tenant("north")
    publish_mail(north, 2, entity="assignment:1")
    mailbox.faults.set("refuse_message", 451)
    for attempt, minutes in ((1, 1), (2, 3)):
        tally = await deliver()
        first, second = deliveries(north)
        assert tally.message == "to be tried again 1"
        assert (first.state, first.attempts) == ("due", attempt)
        pause = first.next_attempt_at - utc_now()
        assert timedelta(minutes=minutes * 0.75) < pause < timedelta(minutes=minutes * 1.25)
        assert (second.state, second.attempts) == ("due", 0)
        assert (await deliver()).message == "nothing to do"  # the pause is kept, and the second waits for the first
        let_time_pass(north)
    tally = await deliver()
    assert tally.message == "dead 1"
    assert tally.as_state().is_failed()
    first, second = deliveries(north)
    assert (first.state, first.attempts) == ("dead", 3)
    assert first.last_answer == "attempt 3, the last: 451 message not taken this time"

    mailbox.faults.clear()
    assert (await deliver()).message == "nothing to do"  # the dead one blocks its successor
    with tenant_session(north) as session:
        outbox.replay(session, north, first.id, actor=SYSTEM)
    assert (await deliver()).message == "sent 2"


async def test_5xx_is_dead_at_once_and_delays_nobody_else(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 4)
    mailbox.faults.set("refuse_recipient", 550, recipient="patient2@example.org")
    tally = await deliver()
    assert tally.message == "sent 3; dead 1"
    assert states(north) == {"done": 3, "dead": 1}
    assert "example" not in (deliveries(north)[2].last_answer or "")


@pytest.mark.parametrize("fault", ["drop_stored", "drop_unstored"])
async def test_an_answer_that_was_lost_means_the_same_message_again(mailbox: Mailbox, fault: str) -> None:
    north = make_tenant("north")
    publish_mail(north, 3)
    mailbox.faults.set(fault, times=1)  # type: ignore[arg-type]
    tally = await deliver()
    assert (tally.counts, tally.problems) == ({"sent": 2, "to be tried again": 1}, {})
    let_time_pass(north)
    await deliver()
    ids = message_ids(mailbox)
    assert len(ids) == 3
    assert sorted(ids.values()) == ([1, 1, 2] if fault == "drop_stored" else [1, 1, 1])


async def test_while_the_mail_server_is_away_nothing_is_lost_and_few_attempts_are_used(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    north = make_tenant("north")
    publish_mail(north, 50)
    use_mailbox(mailbox, monkeypatch, LABWIRE_SMTP_PORT="1")
    tally = await deliver()
    assert tally.as_state().is_failed()
    assert "the mail server cannot be reached: ConnectionRefusedError" in tally.message
    assert states(north) == {"due": 50}
    assert 1 <= sum(delivery.attempts for delivery in deliveries(north)) <= KINDS[0].in_flight
    use_mailbox(mailbox, monkeypatch)
    let_time_pass(north)
    assert (await deliver()).message == "sent 50"


async def test_without_a_mail_server_mail_waits_and_the_run_says_which_setting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    north = make_tenant("north")
    assert (await deliver()).message == "nothing to do"
    publish_mail(north, 2)
    tally = await deliver()
    assert tally.message == "not set up 1; LABWIRE_SMTP_HOST is not set"
    assert [(delivery.state, delivery.attempts) for delivery in deliveries(north)] == [("due", 0)] * 2


async def test_one_broken_delivery_stops_no_other(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 3)
    with owner_session() as session:
        broken = {"template": "report_ready", "to": ["a@b.org"], "context": {}, "sealed": "?"}
        session.execute(update(OutboxEvent).where(OutboxEvent.entity == "assignment:1").values(payload=broken))
    tally = await deliver()
    assert tally.counts["sent"] == 2
    assert tally.problems["defects"] == 1
    assert tally.as_state().is_failed()


async def test_the_deliveries_of_instruments_are_left_to_their_flows(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    with tenant_session(north) as session:
        event = outbox.Event("assignment.ordered", "assignment:1", {}, [outbox.Route("instrument:1")])
        outbox.publish(session, north, event)
    assert (await deliver()).message == "nothing to do"
    assert states(north) == {"due": 1}


@pytest.mark.chaos
@pytest.mark.parametrize("step", list(STEPS))
async def test_a_sender_killed_at_any_step_loses_nothing(mailbox: Mailbox, step: str) -> None:
    """Every mail at least once, only those in flight twice, and doubles carry the same Message-ID."""
    north, south = make_tenant("north"), make_tenant("south")
    publish_mail(north, 12)
    publish_mail(south, 8)
    line = [sys.executable, "-m", "tests.upkeep.killed_sender", step, "3"]
    killed = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr[-2000:]
    with tenant_session(north) as session:
        leased = session.query(Delivery).filter(Delivery.state == "leased", Delivery.sent_at.is_not(None)).count()
    in_flight = KINDS[0].in_flight
    assert leased <= 2 * in_flight  # at most those in flight and those whose answer waits to be written

    for tenant_id in (north, south):
        let_time_pass(tenant_id)
    await deliver()
    assert states(north) == {"done": 12}
    assert states(south) == {"done": 8}
    ids = message_ids(mailbox)
    wanted = {f"<labwire-{one.tenant_id}-{one.id}@example.org>" for t in (north, south) for one in deliveries(t)}
    assert set(ids) == wanted
    assert max(ids.values()) <= 2
    assert sum(ids.values()) - len(ids) <= 2 * in_flight


@pytest.mark.chaos
async def test_a_message_that_kills_its_sender_every_time_ends_dead(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mailbox(mailbox, monkeypatch, LABWIRE_MAIL_ATTEMPTS="2")
    north = make_tenant("north")
    publish_mail(north, 1)
    line = [sys.executable, "-m", "tests.upkeep.killed_sender", "before the send", "1"]
    for _ in range(2):
        killed = await asyncio.to_thread(subprocess.run, line, capture_output=True, timeout=60, check=False)
        assert killed.returncode == -9
        let_time_pass(north)
    await deliver()
    [one] = deliveries(north)
    assert (one.state, one.attempts, mailbox.attempts) == ("dead", 2, 0)
