"""Many sends at once: their intents and answers reach the database in few transactions, none is lost."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.kernel import outbox
from models.kernel.clock import utc_now
from models.kernel.db import engine
from models.kernel.outbox import Answer, Event, Leased, Route
from models.kernel.tables import Delivery
from models.kernel.tenancy import tenant_session
from tasks import ledger as ledgers
from tasks.group_writer import GroupWriter
from tasks.ledger import Ledger, Outcome
from tests.conftest import Database
from tests.factories import make_tenant

pytestmark = pytest.mark.store

OWNER = "run-1"


def leased(tenant_id: int, count: int, *, owner: str = OWNER) -> list[Leased]:
    events = [Event("thing.happened", f"thing:{n}", {"n": n}, [Route("mail")]) for n in range(count)]
    with tenant_session(tenant_id) as session:
        outbox.publish_many(session, tenant_id, events)
    with tenant_session(tenant_id) as session:
        return outbox.claim(session, tenant_id, "mail", owner=owner, most=count)


def states(tenant_id: int) -> dict[str, int]:
    with tenant_session(tenant_id) as session:
        rows = session.execute(text("SELECT state, count(*) FROM delivery GROUP BY state"))
        return dict(rows.tuples().all())


async def send(ledger: Ledger, one: Leased, latency_seconds: float = 0.0) -> None:
    assert await ledger.intend(one)
    await asyncio.sleep(latency_seconds)
    ledger.answer(one, Answer(one.id, "done", "200"))


async def test_an_intent_is_committed_before_the_send_and_the_answer_before_the_end(database: Database) -> None:
    tenant = make_tenant("alpha")
    [one] = leased(tenant, 1)
    async with Ledger(OWNER) as ledger:
        assert await ledger.intend(one)
        with tenant_session(tenant) as session:
            row = session.scalars(select(Delivery)).one()
            assert row.sent_at is not None
            assert (row.state, row.attempts) == ("leased", 1)
        ledger.answer(one, Answer(one.id, "done", "250 taken"))
    assert states(tenant) == {"done": 1}


async def test_nothing_is_sent_and_nothing_recorded_when_the_lease_was_lost(database: Database) -> None:
    tenant = make_tenant("alpha")
    first, second = leased(tenant, 2)
    seen: list[Outcome] = []
    async with Ledger(OWNER, lambda session, tenant_id, outcomes: seen.extend(outcomes)) as ledger:
        assert await ledger.intend(second)
        with tenant_session(tenant) as session:
            session.execute(update(Delivery).values(lease_owner="run-2"))
        assert not await ledger.intend(first)
        assert not await ledger.answer(second, Answer(second.id, "done", "200"))
    assert seen == []
    assert states(tenant) == {"leased": 2}


async def test_an_answer_waits_at_most_half_a_second_or_for_fifty(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were fifty not enough, the last of them would wait for an hour."""
    tenant = make_tenant("alpha")
    many = leased(tenant, 60)
    assert ledgers.ANSWER_WITHIN_SECONDS == 0.5
    async with Ledger(OWNER) as ledger:
        assert all([await written for written in [ledger.intend(one) for one in many]])
        began = time.monotonic()
        await ledger.answer(many[0], Answer(many[0].id, "done", "200"))
        assert time.monotonic() - began > 0.3
        monkeypatch.setattr(ledgers, "ANSWER_WITHIN_SECONDS", 3600)
        answered = asyncio.gather(*[ledger.answer(one, Answer(one.id, "done", "200")) for one in many[1:51]])
        await asyncio.wait_for(answered, 60)


async def test_tenants_share_a_transaction_and_never_see_each_other(database: Database) -> None:
    alpha, beta = make_tenant("alpha"), make_tenant("beta")
    seen: list[tuple[int, Sequence[Any]]] = []

    def look(session: Session, tenant_id: int, outcomes: list[Outcome]) -> None:
        transaction = session.scalar(text("SELECT pg_current_xact_id()::text"))
        tenants = session.scalars(select(Delivery.tenant_id).distinct()).all()
        seen.append((tenant_id, [transaction, list(tenants), [outcome.effect for outcome in outcomes]]))

    async with Ledger(OWNER, look) as ledger:
        many = [*leased(alpha, 2), *leased(beta, 1)]
        assert all([await written for written in [ledger.intend(one) for one in many]])
        for one in many:
            ledger.answer(one, Answer(one.id, "done", "200"), one.entity)
    assert [(tenant, tenants, effects) for tenant, (_, tenants, effects) in seen] == [
        (alpha, [alpha], ["thing:0", "thing:1"]),
        (beta, [beta], ["thing:0"]),
    ]
    assert seen[0][1][0] == seen[1][1][0]


async def test_the_hook_can_replace_an_answer(database: Database) -> None:
    tenant = make_tenant("alpha")
    one, two = leased(tenant, 2)

    def doubt(session: Session, tenant_id: int, outcomes: list[Outcome]) -> list[Answer]:
        return [Answer(one.id, "unknown", "its number belongs to another")]

    async with Ledger(OWNER, doubt) as ledger:
        await asyncio.gather(send(ledger, one), send(ledger, two))
    with tenant_session(tenant) as session:
        assert list(session.scalars(select(Delivery.state).order_by(Delivery.id))) == ["unknown", "done"]


async def test_one_bad_item_fails_alone_and_is_raised_when_nobody_awaited_it(database: Database) -> None:
    tenant = make_tenant("alpha")
    many = leased(tenant, 3)

    def stumble(session: Session, tenant_id: int, outcomes: list[Outcome]) -> None:
        if many[1] in [outcome.leased for outcome in outcomes]:
            session.execute(
                text("INSERT INTO outbox_event (tenant_id, type, entity, payload) VALUES (:id, NULL, '', '{}')"),
                {"id": tenant_id},
            )

    async def run() -> None:
        async with Ledger(OWNER, stumble) as ledger:
            await asyncio.gather(*[send(ledger, one) for one in many])

    with pytest.raises(IntegrityError):
        await run()
    assert states(tenant) == {"done": 2, "leased": 1}


async def test_an_awaited_error_belongs_to_whoever_awaited_it(database: Database) -> None:
    def refuse(session: Session, tenant_id: int, items: list[int]) -> list[int]:
        raise ValueError("no")

    async with GroupWriter(refuse) as writer:
        with pytest.raises(ValueError, match="no"):
            await writer.put(1, 1, within_seconds=0)


async def test_what_waits_is_written_when_the_run_fails(database: Database) -> None:
    tenant = make_tenant("alpha")
    [one] = leased(tenant, 1)

    async def run() -> None:
        async with Ledger(OWNER) as ledger:
            await send(ledger, one)
            raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        await run()
    assert states(tenant) == {"done": 1}


async def test_a_database_that_is_gone_for_a_moment_costs_no_answer(database: Database) -> None:
    tenant = make_tenant("alpha")
    [one] = leased(tenant, 1)
    broken: list[bool] = []

    def break_once(session: Session, tenant_id: int, outcomes: list[Outcome]) -> None:
        if not broken:
            broken.append(True)
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    async with Ledger(OWNER, break_once) as ledger:
        await send(ledger, one)
    assert broken
    assert states(tenant) == {"done": 1}


async def test_a_thousand_sends_cost_few_transactions(database: Database) -> None:
    """1,000 sends of 50 ms, 160 at once, over four tenants: intents and answers by the dozen."""
    many = [one for name in ("alpha", "beta", "gamma", "delta") for one in leased(make_tenant(name), 250)]
    commits = []
    event.listen(engine(), "commit", lambda connection: commits.append(utc_now()))
    gate = asyncio.Semaphore(160)

    async def one_send(one: Leased) -> None:
        async with gate:
            await send(ledger, one, 0.05)

    async with Ledger(OWNER) as ledger:
        await asyncio.gather(*[one_send(one) for one in many])
    assert len(commits) < 200  # each alone: 2,000
