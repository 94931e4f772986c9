"""Every night."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run, publish_tally
from tasks.tally import Tally
from tasks.upkeep.clean_up import prune_ended


@flow(name="clean-up", flow_run_name=named_run)
async def clean_up(tenant: str = "", dry_run: bool = False) -> State[Tally]:
    """Remove what has ended and was kept long enough: old keys, sessions, links, delivered mail, status checks.

    Safe to run again and to run twice at once: rows go in small transactions, each with an audit row that counts them.
    How long what is kept: the settings LABWIRE_KEEP_..., and docs/operating.md.

    Args:
        tenant: slug of a tenant; empty for all
        dry_run: count what would be removed, and remove nothing
    """
    tally = await prune_ended(tenant, dry_run=dry_run)
    await publish_tally(tally)
    return tally.as_state()
