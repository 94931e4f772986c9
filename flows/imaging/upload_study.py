"""Every five minutes, and on demand."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.imaging.outcomes import publish_rows
from tasks.imaging.sources import Wanted
from tasks.imaging.uploading import upload_waiting_studies
from tasks.runs import named_run, publish_tally
from tasks.tally import Tally


@flow(name="upload-study", flow_run_name=named_run)
async def upload_study(tenant: str = "", source: str = "", radiology_order_id: int | None = None) -> State[Tally]:
    """Store the images in the folders, ZIP files and files that were dropped; they go to the archive or to quarantine.

    Safe to run again: a run claims what it takes, takes up what a killed run had claimed, and stores an image once.

    Args:
        tenant: slug of a tenant; empty for all
        source: name of a folder or ZIP in the tenant's drop folder, or the first 16 digits of the SHA-256 of its name
            where it says whose it is; empty for all that wait
        radiology_order_id: the order that source belongs to; empty: by its name (order-17.zip), or found by accession
            number and patient
    """
    report = await upload_waiting_studies(tenant, Wanted(source, radiology_order_id))
    await publish_tally(report.tally)
    await publish_rows(
        "images", report.rows(), "What became of each file. Sources and files are named by digits of a SHA-256."
    )
    return report.tally.as_state()
