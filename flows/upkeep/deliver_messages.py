"""Carry the outbox: mail now, and every destination that is added later."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run, publish_tally
from tasks.tally import Tally
from tasks.upkeep.deliver import deliver_due


@flow(name="deliver-messages", flow_run_name=named_run)
async def deliver_messages(tenant: str = "") -> State[Tally]:
    """Send what is due to every destination of the outbox, until nothing was due for 10 s.

    Safe to run again and to run twice at once: a delivery is leased by one run, and a send that was interrupted goes
    again with the same Message-ID.

    Args:
        tenant: slug of a tenant; empty for all
    """
    tally = await deliver_due(tenant)
    await publish_tally(tally)
    return tally.as_state()
