"""On demand: send one chosen delivery again."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run, publish_tally
from tasks.tally import Tally
from tasks.upkeep.deliver import deliver_due
from tasks.upkeep.replay import replay_chosen


@flow(name="replay", flow_run_name=named_run)
async def replay(delivery_id: int, tenant: str = "") -> State[Tally]:
    """Send one delivery again that is dead, unknown, skipped or done: its event, to its destination alone.

    A submission to an instrument is sent by the next run of submit-assignments, anything else at once.

    Args:
        delivery_id: number of the delivery, as the outbox page shows it
        tenant: slug of the tenant it belongs to; empty to look for it in all
    """
    tally = await replay_chosen(tenant, delivery_id)
    if not tally.problems:
        tally.merge(await deliver_due(tenant, idle_seconds=0.5))
    await publish_tally(tally)
    return tally.as_state()
