"""Tasks of poll-results."""

import asyncio
from dataclasses import dataclass

from sqlalchemy import text

from models.instruments.stores.poll_answers import KeptMessage, waiting_messages
from models.instruments.stores.polls import WhichPolls, due_equipment
from models.instruments.stores.pushes import match_pushed
from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from tasks.instruments.checking import complete_surely, read
from tasks.instruments.fetching import Fetcher
from tasks.instruments.lanes import Place
from tasks.instruments.places import places_of, tenants_of
from tasks.instruments.report import Identity, Report, identity
from tasks.runs import batch_task

NAME = "poll-results"
AT_ONCE = 1000
TO_POLL = text("SELECT registry_tenants_to_poll()")


@dataclass(frozen=True, slots=True)
class DuePolls:
    """Which instruments are to be asked, and for which results."""

    places: tuple[Place, ...]
    which: WhichPolls


@batch_task
async def complete_waiting_messages(tenant: str) -> Report:
    """Check what is kept and not yet checked: pushed results, and what a killed run had fetched already."""
    return await asyncio.to_thread(complete_waiting, tenant, identity(NAME))


@batch_task
async def find_due_polls(
    tenant: str, *, instrument_id: int | None = None, assignment_id: int | None = None
) -> DuePolls:
    """The instruments that are to be asked for results now."""
    which = WhichPolls(utc_now(), instrument_id, assignment_id)
    return await asyncio.to_thread(find_due, tenant, which)


@batch_task
async def fetch_results(due: DuePolls) -> Report:
    """Ask until nothing is due: answers are committed as they arrive, then checked and completed or held."""
    return await fetch_due(due, identity(NAME))


async def fetch_due(due: DuePolls, who: Identity) -> Report:
    """The same without a run of Prefect's."""
    return await Fetcher(who.owner, who.actor, due.which).fetch(due.places)


def find_due(tenant: str, which: WhichPolls) -> DuePolls:
    """Where results are due: instruments of one tenant (slug), or of all for an empty one."""
    tenant_ids = due_tenants(tenant, is_chosen=which.is_chosen)
    places = places_of(tenant_ids, lambda session, tenant_id: due_equipment(session, tenant_id, which))
    return DuePolls(places, which)


def complete_waiting(tenant: str, who: Identity) -> Report:
    """Check every waiting message of one tenant (slug), or of all for an empty one."""
    report = Report()
    for tenant_id in due_tenants(tenant):
        with tenant_session(tenant_id) as session:
            match_pushed(session, tenant_id, now=utc_now())
        after_id = 0
        while messages := _waiting(tenant_id, after_id):
            after_id = messages[-1].id
            report.merge(complete_surely(read(messages), who.actor))
    return report


def due_tenants(tenant: str, *, is_chosen: bool = False) -> list[int]:
    """The tenants with results to ask for or messages to check; every one that may hold what was chosen by its id."""
    return tenants_of(tenant, lambda session: session.scalars(TO_POLL), is_chosen=is_chosen)


def _waiting(tenant_id: int, after_id: int) -> list[KeptMessage]:
    with tenant_session(tenant_id) as session:
        return waiting_messages(session, tenant_id, after_id=after_id, most=AT_ONCE)
