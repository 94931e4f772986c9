"""Every minute, on demand, and asked for when an assignment is created."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.instruments.report import publish_report
from tasks.instruments.submissions import find_due_submissions, send_submissions, settle_interrupted_sends
from tasks.runs import named_run
from tasks.tally import Tally


@flow(name="submit-assignments", flow_run_name=named_run)
async def submit_assignments(
    tenant: str = "", assignment_id: int | None = None, instrument_id: int | None = None
) -> State[Tally]:
    """Send every due assignment to its instrument, stat first.

    Safe to run again: an attempt is written down before it goes out, and each carries the same key.

    Args:
        tenant: slug of a tenant; empty for all
        assignment_id: send this one alone, and at once, whatever its back-off
        instrument_id: send to this instrument alone
    """
    interrupted = await settle_interrupted_sends(tenant)
    due = await find_due_submissions(tenant, instrument_id=instrument_id, assignment_id=assignment_id)
    report = await send_submissions(due)  # intents are committed before, answers as they arrive
    report.merge(interrupted)
    await publish_report(report)
    return report.tally.as_state()
