"""Every night."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run, publish_tally
from tasks.tally import Tally
from tasks.vitals.upkeep import prepare_months


@flow(name="prepare-partitions", flow_run_name=named_run)
async def prepare_partitions() -> State[Tally]:
    """Make the months ahead that readings and activity are kept in. Safe to run again: what is there stays.

    Fails where rows lie outside every month: they are safe, but slow to find, and say that a clock is wrong.
    """
    tally = await prepare_months()
    await publish_tally(tally)
    return tally.as_state()
