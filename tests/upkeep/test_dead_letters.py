"""Whoever may open a laboratory's outbox is told by mail what waits there: once, and by one mail an hour at most."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text, update

from deployments.simulators.mailbox import Mailbox
from models.kernel import outbox
from models.kernel.audit import SYSTEM
from models.kernel.settings import settings
from models.kernel.tables import Delivery, OutboxEvent
from models.kernel.tenancy import owner_session, tenant_session
from models.upkeep import dead_letters
from tasks.tally import Tally
from tasks.upkeep.deliver import deliver_kinds
from tasks.upkeep.destinations import KINDS
from tasks.upkeep.failures import tell_of_dead
from tests.api.helpers import make_user
from tests.factories import make_tenant
from tests.upkeep.helpers import deliveries, publish_mail

pytestmark = pytest.mark.store


@pytest.fixture
def north(mailbox: Mailbox) -> int:
    tenant = make_tenant("north")
    make_user(tenant, "boss@north.org", "supervisor")
    make_user(tenant, "admin@north.org", "administrator")
    make_user(tenant, "tech@north.org", "technician")
    return tenant


def end(tenant_id: int, *entities: str, state: str = "dead", destination: str = "mail") -> list[int]:
    """Deliveries that came to such an end, about these entities."""
    events = [outbox.Event("it.happened", entity, {}, [outbox.Route(destination)]) for entity in entities]
    with tenant_session(tenant_id) as session:
        ids = outbox.publish_many(session, tenant_id, events)
        ended = update(Delivery).where(Delivery.event_id.in_(ids)).values(state=state, last_answer="550 refused")
        return list(session.scalars(ended.returning(Delivery.id)))


def told(tenant_id: int) -> list[dict[str, Any]]:
    """The payloads of the mails about dead letters."""
    with tenant_session(tenant_id) as session:
        wanted = select(OutboxEvent).where(OutboxEvent.type == dead_letters.TYPE).order_by(OutboxEvent.id)
        return [event.payload for event in session.scalars(wanted)]


def numbers(payload: dict[str, Any]) -> list[int]:
    return [one["number"] for one in payload["context"]["deliveries"]]


def an_hour_later(*tenants: int) -> None:
    for tenant_id in tenants:
        with tenant_session(tenant_id) as session:
            session.execute(text("UPDATE failure_notice SET mailed_at = mailed_at - interval '61 minutes'"))


async def deliver() -> Tally:
    return await deliver_kinds(KINDS, idle_seconds=0.1)


async def test_supervisors_and_administrators_are_told_by_a_mail_each(north: int, mailbox: Mailbox) -> None:
    dead = end(north, "assignment:5", destination="instrument:3")
    unsure = end(north, "payment:9", state="unknown", destination="webhook:1")
    assert tell_of_dead("").message == "dead letters told of 2, mails 2"
    assert (await deliver()).message == "sent 2"
    assert sorted(message.recipients[0] for message in mailbox.messages) == ["admin@north.org", "boss@north.org"]
    message = mailbox.messages[0]
    assert message.subject == "2 messages wait for a decision in the outbox"
    for part in (message.text or "", message.html or ""):
        for wanted in (str(dead[0]), str(unsure[0]), "dead", "unknown", "instrument:3", "assignment:5", "/outbox"):
            assert wanted in part
        assert "North" in part


async def test_a_mail_that_is_refused_for_good_is_told_of_the_same_day(north: int, mailbox: Mailbox) -> None:
    """The whole way: published, refused by the mail server, dead, told of."""
    publish_mail(north, 1)
    mailbox.faults.set("refuse_recipient", 550, recipient="patient0@example.org")
    await deliver()
    [refused] = deliveries(north)
    tell_of_dead("")
    await deliver()
    assert sorted(message.recipients for message in mailbox.messages) == [["admin@north.org"], ["boss@north.org"]]
    assert str(refused.id) in (mailbox.messages[0].text or "")
    assert "patient0@example.org" not in (mailbox.messages[0].text or "")


@pytest.mark.rerun
def test_nothing_is_told_twice_and_an_hour_lies_between_two_mails(north: int) -> None:
    first = end(north, "a:1", "a:2")
    tell_of_dead("")
    assert tell_of_dead("").message == "nothing to do"
    later = end(north, "a:3")
    assert tell_of_dead("").message == "nothing to do"
    an_hour_later(north)
    assert tell_of_dead("").message == "dead letters told of 1, mails 2"
    an_hour_later(north)
    assert tell_of_dead("").message == "nothing to do"
    assert [numbers(payload) for payload in told(north)] == [first, first, later, later]


def test_one_that_was_sent_again_and_is_dead_again_is_told_of_again(north: int) -> None:
    [one] = end(north, "a:1")
    tell_of_dead("")
    with tenant_session(north) as session:
        outbox.replay(session, north, one, actor=SYSTEM)
        session.execute(update(Delivery).where(Delivery.id == one).values(state="dead"))
    an_hour_later(north)
    assert tell_of_dead("").message == "dead letters told of 1, mails 2"


async def test_a_refused_notice_holds_back_no_other_and_is_no_matter_for_notices(north: int, mailbox: Mailbox) -> None:
    end(north, "a:1")
    tell_of_dead("")
    mailbox.faults.set("refuse_recipient", 550, recipient="admin@north.org")
    tally = await deliver()
    assert tally.message == "sent 1; dead 1"  # the run is red: the operators' mail tells of it
    an_hour_later(north)
    assert tell_of_dead("").message == "nothing to do"
    end(north, "a:2")
    tell_of_dead("")
    assert (await deliver()).counts["sent"] == 1
    assert [message.recipients for message in mailbox.messages] == [["boss@north.org"]] * 2


def people(tenant_id: int, roles: Sequence[str]) -> None:
    with owner_session() as session:
        session.execute(
            text("UPDATE app_user SET roles = :roles WHERE tenant_id = :id"), {"roles": roles, "id": tenant_id}
        )


def test_without_such_people_the_operators_are_told(north: int, monkeypatch: pytest.MonkeyPatch) -> None:
    people(north, ["technician"])
    monkeypatch.setenv("LABWIRE_OPERATOR_MAIL", "ops@hub.example")
    settings.cache_clear()
    end(north, "a:1")
    assert tell_of_dead("").message == "dead letters told of 1, mails 1"
    assert [payload["to"] for payload in told(north)] == [["ops@hub.example"]]


def test_where_nobody_can_be_told_the_run_is_red_and_it_stays_to_be_told(north: int) -> None:
    people(north, ["technician"])
    end(north, "a:1")
    tally = tell_of_dead("")
    assert tally.problems == {"dead letters nobody can be told of": 1}
    assert tell_of_dead("").message == "nothing to do"  # red once an hour, not with every run
    people(north, ["supervisor"])
    an_hour_later(north)
    assert tell_of_dead("").counts["dead letters told of"] == 1


def test_each_tenant_s_people_hear_of_their_own(north: int) -> None:
    south = make_tenant("south")
    make_user(south, "boss@south.org", "supervisor")
    mine, theirs = end(north, "a:1"), end(south, "a:1", "a:2")
    assert tell_of_dead("south").message == "dead letters told of 2, mails 1"
    assert told(north) == []
    tell_of_dead("")
    assert [(payload["to"], numbers(payload)) for payload in told(south)] == [(["boss@south.org"], theirs)]
    assert {tuple(numbers(payload)) for payload in told(north)} == {tuple(mine)}


def test_two_at_once_tell_once(north: int) -> None:
    end(north, *[f"a:{number}" for number in range(60)])
    with ThreadPoolExecutor(4) as pool:
        said = sorted(pool.map(lambda _: tell_of_dead("").message, range(4)))
    assert said == ["dead letters told of 60, mails 2", *["nothing to do"] * 3]
    assert len(told(north)) == 2
    assert (told(north)[0]["context"]["count"], len(numbers(told(north)[0]))) == (60, dead_letters.MOST_LISTED)


def test_killed_before_its_commit_it_has_told_nobody(north: int, monkeypatch: pytest.MonkeyPatch) -> None:
    end(north, "a:1")
    with monkeypatch.context() as broken:
        broken.setattr(dead_letters, "publish_many", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tell_of_dead("")
    assert (told(north), deliveries(north)[0].reported_at) == ([], None)
    assert tell_of_dead("").message == "dead letters told of 1, mails 2"
