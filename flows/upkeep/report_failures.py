"""Every 5 minutes."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run, publish_tally
from tasks.tally import Tally
from tasks.upkeep.failures import report_dead_letters, report_failed_runs


@flow(name="report-failures", flow_run_name=named_run)
async def report_failures(tenant: str = "") -> State[Tally]:
    """Tell people by mail what went wrong: a laboratory's staff its dead letters, the operators every failed run.

    Safe to run again and to run twice at once: each failure is told of once, and one thing at most once an hour.

    Args:
        tenant: slug of the tenant whose dead letters are told of; empty for all. Failed runs are those of all tenants
    """
    tally = await report_dead_letters(tenant)
    tally.merge(await report_failed_runs())
    await publish_tally(tally)
    return tally.as_state()
