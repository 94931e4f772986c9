"""Every 30 minutes."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.instruments.report import publish_report
from tasks.instruments.submissions import find_due_submissions, send_submissions, settle_interrupted_sends
from tasks.runs import named_run
from tasks.tally import Tally


@flow(name="retry-submissions", flow_run_name=named_run)
async def retry_submissions(tenant: str = "", instrument_id: int | None = None) -> State[Tally]:
    """Send again what an instrument did not take, once its back-off has passed; after the last attempt it is dead.

    Safe to run again: an attempt is written down before it goes out, and each carries the same key.

    Args:
        tenant: slug of a tenant; empty for all
        instrument_id: send to this instrument alone
    """
    interrupted = await settle_interrupted_sends(tenant)
    due = await find_due_submissions(tenant, instrument_id=instrument_id, is_retry=True)
    report = await send_submissions(due)
    report.merge(interrupted)
    await publish_report(report)
    return report.tally.as_state()
