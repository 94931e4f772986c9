"""Every night."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run, publish_tally
from tasks.tally import Tally
from tasks.vitals.archives import clean_archived_files


@flow(name="clean-archive", flow_run_name=named_run)
async def clean_archive(days: int = 90, dry_run: bool = False) -> State[Tally]:
    """Remove the archived files of days long gone; their readings stay in the database. Safe to run again.

    Each day's removal is a row of its tenant's audit trail, with the number of files.

    Args:
        days: how many days files are kept
        dry_run: count what would be removed, and remove nothing
    """
    tally = await clean_archived_files(days=days, dry_run=dry_run)
    await publish_tally(tally)
    return tally.as_state()
