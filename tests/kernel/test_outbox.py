"""The outbox: claimed in order, by one run, taken over when its run died, replayed or skipped by a person."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest
from sqlalchemy import select, text, update

from models.kernel import outbox
from models.kernel.audit import Actor
from models.kernel.errors import NotFoundError
from models.kernel.outbox import Answer, Event, Route
from models.kernel.tables import Delivery, OutboxEvent
from models.kernel.tenancy import owner_session, registry_session, tenant_session
from tests.factories import make_tenant
from tests.kernel.sending import answer, carry, claim, intend, let_leases_expire, publish, rows

pytestmark = pytest.mark.store

BOSS = Actor("user", "1", "boss@north.org", "10.0.0.1", "7")


class TestPublishing:
    def test_event_and_deliveries_are_written_with_the_change_or_not_at_all(self, north: int) -> None:
        event = Event("it.happened", "thing:1", {}, [Route("mail"), Route("webhook:1")])
        with suppress(RuntimeError), tenant_session(north) as session:
            outbox.publish(session, north, event)
            raise RuntimeError
        assert rows(north) == []
        with tenant_session(north) as session:
            first = outbox.publish(
                session, north, Event("it.happened", "thing:1", {"a": 1}, [Route("mail"), Route("webhook:1")])
            )
            second = outbox.publish(session, north, Event("nothing.to.tell", "thing:1", {}, []))
        assert second > first
        assert [row.destination for row in rows(north)] == ["mail", "webhook:1"]

    def test_ids_come_in_the_order_of_the_events(self, north: int) -> None:
        events = [Event("it.happened", f"thing:{number}", {"n": number}, [Route("mail")]) for number in range(300)]
        with tenant_session(north) as session:
            ids = outbox.publish_many(session, north, events)
            stored = session.execute(select(OutboxEvent.id, OutboxEvent.entity).order_by(OutboxEvent.id)).tuples().all()
        assert [(id_, f"thing:{number}") for number, id_ in enumerate(ids)] == stored


class TestOrder:
    def test_one_entity_at_a_time_and_in_order(self, north: int) -> None:
        publish(north, "a:1", "a:1", "b:1", "a:1")
        assert carry(north) == ["a:1", "b:1"]
        assert carry(north) == ["a:1"]
        assert carry(north) == ["a:1"]
        assert carry(north) == []

    def test_a_leased_one_holds_up_what_follows_it(self, north: int) -> None:
        publish(north, "a:1", "a:1")
        [first] = claim(north)
        assert claim(north, owner="run-2") == []
        intend(first)
        answer(first, "done")
        assert len(claim(north, owner="run-2")) == 1

    @pytest.mark.parametrize("state", ["dead", "unknown"])
    def test_a_dead_or_unknown_one_holds_up_what_follows_it_there_and_nothing_else(
        self, north: int, state: str
    ) -> None:
        publish(north, "a:1", "a:1", "b:1")
        publish(north, "a:1", destination="webhook:1")
        [first, _] = claim(north)
        intend(first)
        answer(first, state)
        assert claim(north, owner="run-2") == []
        assert [one.entity for one in claim(north, "webhook:", owner="run-2")] == ["a:1"]

    def test_unordered_ones_do_not_wait(self, north: int) -> None:
        publish(north, "a:1", "a:1", is_ordered=False)
        assert carry(north) == ["a:1", "a:1"]

    def test_the_most_urgent_first(self, north: int) -> None:
        publish(north, "routine:1", priority=2)
        publish(north, "stat:1", priority=0)
        publish(north, "urgent:1", priority=1)
        assert [one.entity for one in claim(north, most=2)] == ["stat:1", "urgent:1"]

    def test_a_pause_is_kept(self, north: int) -> None:
        publish(north, "a:1")
        with tenant_session(north) as session:
            session.execute(update(Delivery).values(next_attempt_at=text("now() + interval '1 minute'")))
        assert claim(north) == []
        with registry_session() as session:
            assert outbox.tenants_with_due(session, "mail") == []

    def test_tenants_with_something_due_are_known_without_seeing_what(self, north: int) -> None:
        south = make_tenant("south")
        publish(north, "a:1", destination="webhook:1")
        publish(south, "a:1")
        with registry_session() as session:
            assert outbox.tenants_with_due(session, "mail") == [south]
            assert session.scalar(text("SELECT count(*) FROM delivery")) == 0
        claim(south)
        with registry_session() as session:
            assert outbox.tenants_with_due(session, "mail") == []
        let_leases_expire(south)
        with registry_session() as session:
            assert outbox.tenants_with_due(session, "mail") == [south]


class TestClaims:
    def test_runs_at_once_never_get_the_same(self, north: int) -> None:
        publish(north, *[f"a:{number}" for number in range(200)])
        barrier = Barrier(5)

        def claim_all(owner: str) -> list[int]:
            barrier.wait()
            got: list[int] = []
            while claimed := claim(north, owner=owner, most=7):
                got += [one.id for one in claimed]
            return got

        with ThreadPoolExecutor(5) as threads:
            shares = list(threads.map(claim_all, [f"run-{number}" for number in range(5)]))
        claimed = [id_ for share in shares for id_ in share]
        assert len(claimed) == len(set(claimed)) == 200

    def test_a_claim_that_is_not_committed_yet_is_passed_over(self, north: int) -> None:
        publish(north, "a:1", "b:1")
        with tenant_session(north) as first:
            assert len(outbox.claim(first, north, "mail", owner="run-1", most=1)) == 1
            assert [one.entity for one in claim(north, owner="run-2")] == ["b:1"]

    def test_a_lease_of_a_run_that_died_before_sending_is_taken_over(self, north: int) -> None:
        publish(north, "a:1")
        [mine] = claim(north)
        assert claim(north, owner="run-2") == []
        let_leases_expire(north)
        [theirs] = claim(north, owner="run-2")
        assert theirs.id == mine.id
        assert not intend(mine)  # the first run is not dead after all: it may not send
        assert intend(theirs, owner="run-2")
        assert not answer(mine, "done")
        assert answer(theirs, "done", owner="run-2")

    def test_what_was_not_sent_can_be_given_back(self, north: int) -> None:
        publish(north, "a:1", "b:1")
        first, second = claim(north)
        assert intend(first)
        with tenant_session(north) as session:
            assert outbox.release(session, north, [first.id, second.id], owner="run-2") == set()
            assert outbox.release(session, north, [first.id, second.id], owner="run-1") == {second.id}
        assert [(row.state, row.attempts) for row in rows(north)] == [("leased", 1), ("due", 0)]

    def test_another_tenants_deliveries_cannot_be_touched(self, north: int) -> None:
        south = make_tenant("south")
        publish(south, "a:1")
        [foreign] = claim(south)
        with tenant_session(north) as session:
            assert outbox.claim(session, south, "mail", owner="run-1") == []
            assert outbox.intend(session, south, [foreign.id], owner="run-1") == set()
            assert outbox.record_answers(session, south, [Answer(foreign.id, "done", "")], owner="run-1") == set()
            with pytest.raises(NotFoundError):
                outbox.replay(session, north, foreign.id, actor=BOSS)


def test_claiming_many_takes_time_in_proportion(north: int) -> None:
    """No statistics, thousands due: each claim of 500 still looks at little more than what it takes."""
    publish(north, *[f"a:{number}" for number in range(8000)])
    with owner_session() as session:
        plan = "\n".join(
            session.scalars(
                text("EXPLAIN (ANALYZE, TIMING OFF) " + outbox.CLAIM.text),
                {"tenant_id": north, "prefix": "mail", "owner": "x", "most": 500, "lease_seconds": 60},
            )
        )
    figure = float(plan.rsplit("Execution Time: ", 1)[1].split(" ")[0])
    assert figure < 500, plan
