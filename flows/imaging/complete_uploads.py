"""Every ten minutes, on demand, and asked for by the API when something was uploaded."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.imaging.completing import describe_new, finish_uploads, remind_and_expire, sweep_spool
from tasks.imaging.outcomes import publish_rows
from tasks.runs import named_run, publish_tally
from tasks.tally import Tally


@flow(name="complete-uploads", flow_run_name=named_run)
async def complete_uploads(tenant: str = "") -> State[Tally]:
    """Finish uploads whose bytes are all here; tell uploaders of those that came to a stop; describe new images.

    Safe to run again: an upload is locked while it is looked at, finished once, and told of once until it goes on.

    Args:
        tenant: slug of a tenant; empty for all
    """
    report = await finish_uploads(tenant)
    report.merge(await remind_and_expire(tenant))
    report.merge(await sweep_spool(tenant))
    report.merge(await describe_new(tenant))
    await publish_tally(report.tally)
    await publish_rows("uploads", report.rows(), "What came of each upload, by its number on the page Uploads.")
    return report.tally.as_state()
