"""Tasks of clean-up."""

import asyncio
from datetime import timedelta

from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.settings import settings
from models.kernel.tenancy import known_tenants, tenant_session
from models.upkeep.retention import BATCH, RULES, Rule, count_ended, keep_days, prune
from tasks.runs import batch_task, flow_actor
from tasks.tally import Tally


@batch_task
async def prune_ended(tenant: str, *, dry_run: bool) -> Tally:
    """Remove what has ended for longer than it is kept, in small transactions; or only count it."""
    return await asyncio.to_thread(clean, tenant, flow_actor(), dry_run=dry_run)


def clean(tenant: str, actor: Actor, *, dry_run: bool = False, batch: int = BATCH) -> Tally:
    """The same without a run of Prefect's; tenants that are closed are cleaned too."""
    tally = Tally()
    if dry_run:
        tally.note("dry run: nothing was removed")
    for one in known_tenants(tenant, with_inactive=True):
        for rule in RULES:
            tally.count(rule.what, _count(one.id, rule) if dry_run else _prune(one.id, actor, rule, batch))
    return tally


def _count(tenant_id: int, rule: Rule) -> int:
    before = utc_now() - timedelta(days=keep_days(rule, settings()))
    with tenant_session(tenant_id) as session:
        return count_ended(session, tenant_id, rule, before=before)


def _prune(tenant_id: int, actor: Actor, rule: Rule, batch: int) -> int:
    """One transaction per batch: nobody waits for long, and a kill loses one batch's work at most."""
    before = utc_now() - timedelta(days=keep_days(rule, settings()))
    removed, number = 0, batch
    while number >= batch:
        with tenant_session(tenant_id) as session:
            number = prune(session, tenant_id, actor, rule, before=before, most=batch)
        removed += number
    return removed
