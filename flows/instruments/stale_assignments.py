"""Every morning at eight."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.instruments.overdue import report_expired_results, report_stale_assignments
from tasks.runs import named_run, publish_tally
from tasks.tally import Tally


@flow(name="stale-assignments", flow_run_name=named_run)
async def stale_assignments(tenant: str = "") -> State[Tally]:
    """Tell each department, by one mail, what is open for more than 24 h, and which results were never answered.

    Safe to run again: a department is mailed once a day, what was acknowledged never again.

    Args:
        tenant: slug of a tenant; empty for all
    """
    tally = await report_expired_results(tenant)
    tally.merge(await report_stale_assignments(tenant))
    await publish_tally(tally)
    return tally.as_state()
