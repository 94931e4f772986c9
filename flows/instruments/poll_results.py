"""Every 10 minutes, on demand, and asked for when an instrument pushes a result."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.instruments.overdue import report_expired_by_the_hour
from tasks.instruments.polls import complete_waiting_messages, fetch_results, find_due_polls
from tasks.instruments.report import publish_report
from tasks.runs import named_run
from tasks.tally import Tally


@flow(name="poll-results", flow_run_name=named_run)
async def poll_results(
    tenant: str = "", assignment_id: int | None = None, instrument_id: int | None = None
) -> State[Tally]:
    """Fetch every finished result, check it, and complete or hold it; tell of those never answered within 24 h.

    Safe to run again: a result is leased while it is asked for, kept as it arrives, completed once, and told of once.

    Args:
        tenant: slug of a tenant; empty for all
        assignment_id: ask for this result alone, due or not
        instrument_id: ask this instrument for everything it has, due or not
    """
    report = await complete_waiting_messages(tenant)  # pushed, or fetched by a run that was killed: not fetched again
    due = await find_due_polls(tenant, instrument_id=instrument_id, assignment_id=assignment_id)
    report.merge(await fetch_results(due))  # kept as they arrive, gated by rules and suite, completed or held
    if assignment_id is None and instrument_id is None:
        report.tally.merge(await report_expired_by_the_hour(tenant))  # asked for a last time just now
    await publish_report(report)
    return report.tally.as_state()
