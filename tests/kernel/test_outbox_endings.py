"""How deliveries end: interrupted and taken up, replayed or skipped by a person, each with its audit row."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from models.kernel import outbox
from models.kernel.audit import Actor
from models.kernel.errors import ConflictError, InvalidError
from models.kernel.outbox import Leased
from models.kernel.tables import AuditEvent, Delivery
from models.kernel.tenancy import tenant_session
from tests.kernel.sending import answer, carry, claim, intend, let_leases_expire, publish, rows

pytestmark = pytest.mark.store

BOSS = Actor("user", "1", "boss@north.org", "10.0.0.1", "7")


class TestInterrupted:
    def interrupted(self, tenant_id: int) -> Leased:
        publish(tenant_id, "a:1")
        [one] = claim(tenant_id)
        assert intend(one)
        let_leases_expire(tenant_id)
        return one

    def settle(self, tenant_id: int, *, may_resend: bool, most_attempts: int = 8) -> list[tuple[int, str]]:
        with tenant_session(tenant_id) as session:
            return outbox.settle_interrupted(
                session, tenant_id, "mail", may_resend=may_resend, most_attempts=most_attempts
            )

    def test_a_send_that_was_interrupted_is_never_simply_claimed(self, north: int) -> None:
        self.interrupted(north)
        assert claim(north, owner="run-2") == []

    def test_it_goes_again_where_doubles_are_recognised(self, north: int) -> None:
        one = self.interrupted(north)
        assert self.settle(north, may_resend=True) == [(one.id, "a:1")]
        [again] = claim(north, owner="run-2")
        assert again.attempts == 1

    def test_it_is_unknown_elsewhere(self, north: int) -> None:
        one = self.interrupted(north)
        assert self.settle(north, may_resend=False) == [(one.id, "a:1")]
        assert [(row.state, row.last_answer) for row in rows(north)] == [
            ("unknown", "interrupted after the request went out")
        ]

    def test_on_the_last_attempt_it_is_dead(self, north: int) -> None:
        self.interrupted(north)
        self.settle(north, may_resend=True, most_attempts=1)
        assert rows(north)[0].state == "dead"

    def test_what_is_interrupted_time_after_time_goes_again_after_growing_pauses(self, north: int) -> None:
        """What kills its sender must not do so all day; one that was interrupted for the first times goes at once."""
        self.interrupted(north)
        pauses = []
        for attempts in (1, 2, 3, 4, 5, 9):
            with tenant_session(north) as session:
                values = {"state": "leased", "sent_at": text("now()"), "leased_until": text("now()")}
                session.execute(update(Delivery).values(attempts=attempts, **values))
            with tenant_session(north) as session:
                outbox.settle_interrupted(session, north, "mail", may_resend=True, longest_pause=timedelta(hours=1))
                session.flush()
                minutes = text("SELECT round(extract(epoch FROM next_attempt_at - now()) / 60)::int FROM delivery")
                pauses.append(session.scalar(minutes))
        assert pauses == [0, 0, 1, 3, 9, 60]

    def test_a_run_that_still_works_is_left_alone(self, north: int) -> None:
        publish(north, "a:1")
        [one] = claim(north)
        intend(one)
        assert self.settle(north, may_resend=False) == []
        assert answer(one, "done")

    def test_an_answer_that_comes_after_the_settlement_is_not_written_over_it(self, north: int) -> None:
        one = self.interrupted(north)
        self.settle(north, may_resend=False)
        assert not answer(one, "done")
        assert rows(north)[0].state == "unknown"


class TestPeople:
    def ended(self, tenant_id: int, state: str) -> Delivery:
        publish(tenant_id, "a:1")
        carry(tenant_id, state)
        return rows(tenant_id)[0]

    @pytest.mark.parametrize("state", ["dead", "unknown", "done"])
    def test_replay_sends_exactly_the_chosen_one_again(self, north: int, state: str) -> None:
        ended = self.ended(north, state)
        publish(north, "b:1", destination="webhook:1")
        publish(north, "b:1")
        carry(north, state)
        with tenant_session(north) as session:
            outbox.replay(session, north, ended.id, actor=BOSS)
        [again] = claim(north)
        assert (again.event_id, again.attempts, again.destination) == (ended.event_id, 0, "mail")

    @pytest.mark.parametrize("state", ["dead", "unknown"])
    def test_skip_lets_the_successor_go(self, north: int, state: str) -> None:
        publish(north, "a:1", "a:1")
        carry(north, state)
        first, second = rows(north)
        with tenant_session(north) as session:
            outbox.skip(session, north, first.id, reason="the patient moved", actor=BOSS)
        assert [one.id for one in claim(north)] == [second.id]
        assert rows(north)[0].last_answer == "skipped: the patient moved"

    def test_what_is_under_way_can_be_neither_replayed_nor_skipped(self, north: int) -> None:
        publish(north, "a:1")
        for _ in range(2):  # due, then leased
            with pytest.raises(ConflictError, match="only a finished one"), tenant_session(north) as session:
                outbox.replay(session, north, rows(north)[0].id, actor=BOSS)
            with pytest.raises(ConflictError, match="only a dead or unknown one"), tenant_session(north) as session:
                outbox.skip(session, north, rows(north)[0].id, reason="because", actor=BOSS)
            claim(north)

    def test_both_are_audited_and_a_skip_needs_a_reason(self, north: int) -> None:
        ended = self.ended(north, "dead")
        with pytest.raises(InvalidError, match="a reason is needed"), tenant_session(north) as session:
            outbox.skip(session, north, ended.id, reason="  ", actor=BOSS)
        with tenant_session(north) as session:
            outbox.skip(session, north, ended.id, reason="the patient moved", actor=BOSS)
            outbox.replay(session, north, ended.id, actor=BOSS)
        with tenant_session(north) as session:
            skip, replay = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        about = {"destination": "mail", "entity": "a:1"}
        assert (skip.action, skip.changes) == (
            "delivery.skip",
            about | {"state": ["dead", "skipped"], "reason": "the patient moved"},
        )
        assert (replay.action, replay.changes) == ("delivery.replay", about | {"state": ["skipped", "due"]})
        assert (replay.actor_label, replay.ip_address, replay.session_id) == ("boss@north.org", "10.0.0.1", "7")
