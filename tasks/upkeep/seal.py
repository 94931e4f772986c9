"""Sealing the audit trail of every tenant."""

import asyncio

from models.kernel.heads import write_head
from models.kernel.seal import CHUNK, seal_tenant
from models.kernel.tenancy import known_tenants
from tasks.runs import batch_task
from tasks.tally import Tally


@batch_task
async def seal_trails(tenant: str) -> Tally:
    """Seal every settled row, then write the heads; tenants that are closed have theirs sealed too."""
    return await asyncio.to_thread(seal_all, tenant)


def seal_all(tenant: str) -> Tally:
    """The same without Prefect."""
    tally = Tally()
    for one in known_tenants(tenant, with_inactive=True):
        number = CHUNK
        while number >= CHUNK:  # one transaction each, so that a long backlog is not lost to a kill
            number = seal_tenant(one.id)
            tally.count("sealed", number)
        if write_head(one.id):
            tally.count("heads")
    return tally
