"""Tasks of report-failures."""

import asyncio
from contextlib import closing
from datetime import datetime, timedelta

from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, RefusedError, RetryableError
from models.kernel.settings import settings
from models.kernel.tenancy import known_tenants, tenant_session
from models.upkeep.dead_letters import report_dead
from models.upkeep.failures import BadRun, Look, next_look, operators_tenant, report_runs
from tasks.clients.prefect import PrefectServer
from tasks.runs import batch_task
from tasks.tally import Tally

SETTLED_SECONDS = 30
"""Runs that ended within this time are left to the next look: the server may not show all of them yet."""


@batch_task
async def report_dead_letters(tenant: str) -> Tally:
    """Mail each tenant's own people what became dead or unknown, once each and at most once an hour."""
    return await asyncio.to_thread(tell_of_dead, tenant)


@batch_task
async def report_failed_runs() -> Tally:
    """Mail the operators which runs failed or crashed, each counted once, a deployment at most once an hour."""
    return await asyncio.to_thread(tell_of_runs)


def tell_of_dead(tenant: str) -> Tally:
    """The same without a run of Prefect's."""
    tally = Tally()
    for one in known_tenants(tenant):
        with tenant_session(one.id) as session:
            told = report_dead(session, one.id, now=utc_now(), besides=settings().operator_addresses)
        if told.mails:
            tally.count("dead letters told of", told.deliveries).count("mails", told.mails)
        elif told.deliveries:
            tally.problem("dead letters nobody can be told of", told.deliveries)
            tally.note(f"tenant {one.id} has no supervisor, no administrator, and LABWIRE_OPERATOR_MAIL is empty")
    return tally


def tell_of_runs(now: datetime | None = None) -> Tally:
    """The same without a run of Prefect's."""
    tally, config, now = Tally(), settings(), now or utc_now()
    if not config.operator_addresses:
        return tally.note("LABWIRE_OPERATOR_MAIL is empty: nobody is told of failed runs")
    try:
        tenant = operators_tenant(known_tenants(), config)
        with tenant_session(tenant.id) as session:
            look = next_look(session, tenant.id, until=now - timedelta(seconds=SETTLED_SECONDS))
        runs = _look(look)
    except (ConfigError, RetryableError, RefusedError) as error:  # the next look begins where this one did
        return tally.problem("could not look for failed runs").note(str(error))
    with tenant_session(tenant.id) as session:
        found, told = report_runs(session, tenant.id, look, runs, to=config.operator_addresses, now=now)
    return tally.count("failed runs found", found).count("failed runs told of", told)


def _look(look: Look) -> list[BadRun]:
    with closing(PrefectServer()) as server:
        runs = server.ended_badly(look.since, look.until)
    return [BadRun(run.deployment, run.state, run.ended_at, run.page) for run in runs]
