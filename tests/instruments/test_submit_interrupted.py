"""Submissions whose sender was killed, and what a person does about those that failed or are unknown."""

import pytest

from models.instruments.stores.submissions import delivery_replayed, delivery_skipped
from models.kernel import outbox
from models.kernel.errors import ConflictError
from models.kernel.tables import Delivery
from models.kernel.tenancy import tenant_session
from tasks.instruments import submissions
from tasks.instruments.report import identity
from tests.instruments.world import World, expire_leases, run_sql, submit

pytestmark = pytest.mark.contract


@pytest.mark.parametrize(("is_idempotent", "state", "status"), [(True, "due", "P"), (False, "unknown", "U")])
async def test_an_interrupted_send_is_resent_only_where_keys_are_honoured(
    world: World, is_idempotent: bool, state: str, status: str
) -> None:
    (one,) = world.order()
    run_sql(
        f"UPDATE equipment SET is_idempotent = {is_idempotent}",
        "UPDATE delivery SET state = 'leased', lease_owner = 'ghost', sent_at = now(), attempts = 1, "
        "leased_until = now() - interval '1 second'",
    )
    submissions.settle_all("", identity("submit-assignments"))
    assert (world.delivery_states(one), world.lab.assignment(one).status) == ([state], status)
    await submit()
    assert len(world.one.entries) == (1 if is_idempotent else 0)


async def test_a_submission_that_kills_its_sender_each_time_ends_dead(world: World) -> None:
    (one,) = world.order()
    run_sql(
        "UPDATE delivery SET state = 'leased', lease_owner = 'ghost', sent_at = now(), attempts = 5, "
        "leased_until = now() - interval '1 second'"
    )
    await submit()
    assert (world.delivery_states(one), world.lab.assignment(one).status) == (["dead"], "F")


async def test_a_replay_makes_a_failed_assignment_wait_again_and_a_done_one_is_refused(world: World) -> None:
    (one,) = world.order(test_code="LAB-NOTE")
    await submit()
    lab, actor = world.lab, world.lab.actor()
    (delivery,) = lab.deliveries(one)
    with tenant_session(lab.tenant_id) as session:
        replayed = outbox.replay(session, lab.tenant_id, delivery.id, actor=actor)
        delivery_replayed(session, lab.tenant_id, replayed, actor)
    assert lab.assignment(one).status == "P"
    (two,) = world.order()
    await submit()
    (delivery,) = lab.deliveries(two)
    with pytest.raises(ConflictError, match="queued"), tenant_session(lab.tenant_id) as session:
        delivery_replayed(session, lab.tenant_id, session.get_one(Delivery, (lab.tenant_id, delivery.id)), actor)


@pytest.mark.parametrize("change", ["status = 'F'", "status = 'F', queue_id = NULL, request_id = 'REQ-X-2'"])
async def test_what_reached_its_instrument_or_was_ordered_anew_is_not_replayed(world: World, change: str) -> None:
    (one,) = world.order()
    await submit()
    run_sql(f"UPDATE assignment SET {change} WHERE id = {one}")
    (delivery,), actor = world.lab.deliveries(one), world.lab.actor()
    with pytest.raises(ConflictError), tenant_session(world.lab.tenant_id) as session:
        delivery_replayed(session, world.lab.tenant_id, delivery, actor)
    assert world.lab.assignment(one).status == "F"


@pytest.mark.parametrize("status", ["P", "Q", "A"])
async def test_giving_any_other_submission_up_leaves_its_assignment_as_it_is(world: World, status: str) -> None:
    (one,) = world.order()
    run_sql(f"UPDATE assignment SET status = '{status}'")
    (delivery,), actor = world.lab.deliveries(one), world.lab.actor()
    with tenant_session(world.lab.tenant_id) as session:
        delivery_skipped(session, world.lab.tenant_id, delivery, actor)
    assert world.lab.assignment(one).status == status


async def test_giving_an_unknown_submission_up_fails_its_assignment(forgetful: World) -> None:
    (one,) = forgetful.order()
    forgetful.one.faults.set("timeout_after_accepting", times=1)
    await submit()
    lab, actor = forgetful.lab, forgetful.lab.actor()
    (delivery,) = lab.deliveries(one)
    with tenant_session(lab.tenant_id) as session:
        skipped = outbox.skip(session, lab.tenant_id, delivery.id, reason="not at the instrument", actor=actor)
        delivery_skipped(session, lab.tenant_id, skipped, actor)
    assert lab.assignment(one).status == "F"


async def test_an_interrupted_claim_is_taken_over_and_sent_once(world: World) -> None:
    (one,) = world.order()
    run_sql("UPDATE delivery SET state = 'leased', lease_owner = 'ghost', leased_until = now() + interval '1 minute'")
    await submit()
    assert world.delivery_states(one) == ["leased"]
    expire_leases()
    await submit()
    assert (world.delivery_states(one), len(world.one.entries)) == (["done"], 1)
