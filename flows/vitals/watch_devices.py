"""Every five minutes."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run, publish_tally
from tasks.tally import Tally
from tasks.vitals.upkeep import watch


@flow(name="watch-devices", flow_run_name=named_run)
async def watch_devices(tenant: str = "") -> State[Tally]:
    """Tell technicians and supervisors of devices that were silent for longer than they may be, once each.

    Args:
        tenant: slug of a tenant; empty for all
    """
    tally = await watch(tenant)
    await publish_tally(tally)
    return tally.as_state()
