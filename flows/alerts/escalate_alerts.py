"""Every minute, and asked for at once by the API."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.alerts import escalate_due_alerts
from tasks.runs import named_run, publish_tally
from tasks.tally import Tally


@flow(name="escalate-alerts", flow_run_name=named_run)
async def escalate_alerts(tenant: str = "") -> State[Tally]:
    """Where a patient did not answer in time, or nobody acknowledged, tell whom the tenant's ladder names next.

    Safe to run again, and twice at once: each step is done under its alert's lock, and noted with its mails.

    Args:
        tenant: slug of a tenant; empty for all
    """
    tally = await escalate_due_alerts(tenant)
    await publish_tally(tally)
    return tally.as_state()
