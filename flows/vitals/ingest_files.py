"""Every minute, and on demand."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run
from tasks.tally import Tally
from tasks.vitals.ingest import ingest_waiting_files
from tasks.vitals.outcomes import publish_files


@flow(name="ingest-vitals-files", flow_run_name=named_run)
async def ingest_vitals_files(tenant: str = "") -> State[Tally]:
    """Store the readings of every file in the inbox; files go to the archive or, with the reason, to quarantine.

    Safe to run again: a run claims its files, takes up what a killed run had claimed, and stores a reading once.

    Args:
        tenant: slug of a tenant; empty for all
    """
    report = await ingest_waiting_files(tenant)
    await publish_files(report)
    return report.tally.as_state()
