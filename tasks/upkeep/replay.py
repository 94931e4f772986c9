"""Sending one chosen delivery again."""

import asyncio

from models.kernel.audit import Actor
from models.kernel.errors import RefusedError
from models.kernel.tenancy import tenant_session
from models.upkeep.deliveries import DeliveryRow, replay_delivery, tenant_of_delivery
from tasks.runs import batch_task, flow_actor
from tasks.tally import Tally


@batch_task
async def replay_chosen(tenant: str, delivery_id: int) -> Tally:
    """Make the delivery due again; a problem where it is under way, was overtaken or does not exist."""
    try:
        row = await asyncio.to_thread(make_due, tenant, delivery_id, flow_actor())
    except RefusedError as refusal:
        return Tally().problem("refused").note(str(refusal))
    return Tally().count("due again").note(f"delivery {row.id} to {row.destination}")


def make_due(tenant: str, delivery_id: int, actor: Actor) -> DeliveryRow:
    """Make one delivery due again; without a tenant's slug it is looked for in all of them."""
    owner = tenant_of_delivery(delivery_id, tenant)
    with tenant_session(owner.id) as session:
        return replay_delivery(session, owner.id, delivery_id, actor=actor)
