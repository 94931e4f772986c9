"""Tasks of submit-assignments and retry-submissions."""

import asyncio
from dataclasses import dataclass

from models.instruments.stores.submission_answers import settle_interrupted
from models.instruments.stores.submissions import Which, due_equipment
from models.kernel.clock import utc_now
from models.kernel.outbox import tenants_with_due
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from tasks.instruments.lanes import Place
from tasks.instruments.places import places_of, tenants_of
from tasks.instruments.report import Identity, Line, Report, identity
from tasks.instruments.sending import Sender
from tasks.runs import batch_task

DESTINATION = "instrument:"


@dataclass(frozen=True, slots=True)
class DueSubmissions:
    """Where submissions are due, and which of them the run is about."""

    places: tuple[Place, ...]
    which: Which


@batch_task
async def settle_interrupted_sends(tenant: str) -> Report:
    """End what a killed run left in flight: due again where the instrument honours our key, else unknown."""
    return await asyncio.to_thread(settle_all, tenant, identity("submit-assignments"))


@batch_task
async def find_due_submissions(
    tenant: str, *, instrument_id: int | None = None, assignment_id: int | None = None, is_retry: bool = False
) -> DueSubmissions:
    """The active instruments that have something to be sent now."""
    return await asyncio.to_thread(find_due, tenant, Which(is_retry, instrument_id, assignment_id))


@batch_task
async def send_submissions(due: DueSubmissions) -> Report:
    """Send until nothing is due; intents are committed before, answers as they arrive."""
    return await send_due(due, identity("retry-submissions" if due.which.is_retry else "submit-assignments"))


async def send_due(due: DueSubmissions, who: Identity) -> Report:
    """The same without a run of Prefect's."""
    return await Sender(who.owner, who.actor, due.which).send(due.places)


def find_due(tenant: str, which: Which) -> DueSubmissions:
    """Where submissions are due: instruments of one tenant (slug), or of all for an empty one."""
    tenant_ids = due_tenants(tenant, is_chosen=which.is_chosen)
    places = places_of(tenant_ids, lambda session, tenant_id: due_equipment(session, tenant_id, which))
    return DueSubmissions(places, which)


def settle_all(tenant: str, who: Identity) -> Report:
    """End interrupted sends of one tenant (slug), or of all for an empty one."""
    report = Report()
    most = settings().submission_attempts
    for tenant_id in due_tenants(tenant):
        with tenant_session(tenant_id) as session:
            settled = settle_interrupted(session, tenant_id, who.actor, most_attempts=most, now=utc_now())
        for one in settled:
            line = Line(tenant_id, one.equipment_id, one.assignment_id, f"interrupted: {one.state}")
            (report.went_well if one.state == "due" else report.needs_a_look)(line)
    return report


def due_tenants(tenant: str, *, is_chosen: bool = False) -> list[int]:
    """The tenants with submissions due or interrupted; every one that may hold what was chosen by its id."""
    return tenants_of(tenant, lambda session: tenants_with_due(session, DESTINATION), is_chosen=is_chosen)
