"""Tasks of prepare-partitions and watch-devices."""

import asyncio

from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.tenancy import known_tenants, registry_session, tenant_session
from models.vitals.stores import upkeep
from tasks.runs import batch_task, flow_actor
from tasks.tally import Tally


@batch_task
async def prepare_months() -> Tally:
    """Make the months that are missing, remove counts of past minutes, and name rows that fit no month."""
    return await asyncio.to_thread(prepare)


@batch_task
async def watch(tenant: str) -> Tally:
    """Tell of devices that have just been silent for too long."""
    return await asyncio.to_thread(tell_of_silence, tenant, flow_actor())


def prepare() -> Tally:
    """The same without a run of Prefect's."""
    tally = Tally()
    with registry_session() as session:
        tally.count("partitions made", upkeep.make_partitions(session))
    for one in known_tenants(with_inactive=True):
        with tenant_session(one.id) as session:
            upkeep.forget_rates(session, one.id, now=utc_now())
            for table, number in upkeep.strays(session, one.id).items():
                tally.problem(f"rows of {table} outside every month", number)
                tally.note(f"tenant {one.id}: see docs/devices.md, partitions")
    return tally


def tell_of_silence(tenant: str, actor: Actor) -> Tally:
    """The same without a run of Prefect's."""
    tally = Tally()
    for one in known_tenants(tenant):
        with tenant_session(one.id) as session:
            silent, is_told = upkeep.tell_of_silence(session, one.id, actor, now=utc_now())
        tally.count("silent devices", len(silent))
        if not is_told:
            tally.problem("nobody to mail")
            tally.note(f"tenant {one.id} has neither supervisor nor technician")
    return tally
