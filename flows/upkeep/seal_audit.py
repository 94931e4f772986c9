"""Every minute: seal the audit trail."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run, publish_tally
from tasks.tally import Tally
from tasks.upkeep.seal import seal_trails


@flow(name="seal-audit", flow_run_name=named_run)
async def seal_audit(tenant: str = "") -> State[Tally]:
    """Give every settled audit row its place in its tenant's chain, and write the chain's head outside the database.

    Safe to run again and to run twice at once: a tenant's chain is continued by one run at a time.

    Args:
        tenant: slug of a tenant; empty for all
    """
    tally = await seal_trails(tenant)
    await publish_tally(tally)
    return tally.as_state()
