"""Every night, and on demand."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.imaging.outcomes import publish_rows
from tasks.imaging.scrubbing import begin_scrub, check_some, look_through_storage
from tasks.runs import named_run, publish_tally
from tasks.tally import Tally


@flow(name="scrub-storage", flow_run_name=named_run)
async def scrub_storage(
    tenant: str = "", older_than_days: float = 30, full: bool = False, most: int = 100_000
) -> State[Tally]:
    """Read images back and compare them with their checksums; look for missing objects, and for objects without image.

    An object without an image is taken in as if it had been sent again; nothing is ever removed. Safe to run again: it
    goes on with what was not read for the longest time. It fails while anything is corrupt, missing or not taken in.

    Args:
        tenant: slug of a tenant; empty for all
        older_than_days: read what was not read for so many days
        full: read everything
        most: images that are read at the most
    """
    scrub = await begin_scrub(tenant, older_than_days, full=full, most=most)
    while await check_some(scrub):
        pass
    await look_through_storage(scrub)
    await publish_tally(scrub.tally)
    await publish_rows("findings", scrub.rows, "What was found. Keys are named by digits of their SHA-256.")
    return scrub.tally.as_state()
