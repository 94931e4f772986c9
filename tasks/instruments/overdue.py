"""Telling departments of what waits for too long: tasks of stale-assignments, and the last one of poll-results."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from models.instruments.stores.notices import AT_ONCE, Notice, report_expired, report_stale
from models.kernel.clock import utc_now
from models.kernel.tenancy import known_tenants, tenant_session
from tasks.instruments.report import Identity, identity
from tasks.runs import batch_task
from tasks.tally import Tally

NAME = "stale-assignments"
POLL = "poll-results"
GATHER = timedelta(minutes=30)


@batch_task
async def report_stale_assignments(tenant: str) -> Tally:
    """One mail per department and day about what is open for more than 24 h and not acknowledged."""
    return await asyncio.to_thread(tell_of_stale, tenant)


@batch_task
async def report_expired_results(tenant: str) -> Tally:
    """One mail per department about results that were never answered within 24 h, each told of once."""
    return await asyncio.to_thread(tell_of_expired, tenant, identity(NAME))


@batch_task
async def report_expired_by_the_hour(tenant: str) -> Tally:
    """The same for a flow that runs every few minutes: one mail tells of what expired within half an hour.

    So each is told of within the hour, and a department gets two such mails an hour at most.
    """
    return await asyncio.to_thread(tell_of_expired, tenant, identity(POLL), gather=GATHER)


def tell_of_stale(tenant: str) -> Tally:
    """The same without a run of Prefect's; the day is that of the tenant's time zone."""
    tally = Tally()
    now = utc_now()
    for one in known_tenants(tenant):
        day = now.astimezone(ZoneInfo(one.time_zone)).date()
        with tenant_session(one.id) as session:
            notices = report_stale(session, one.id, day=day, now=now)
        _count(tally, "stale", one.id, notices)
    return tally


def tell_of_expired(tenant: str, who: Identity, *, gather: timedelta = AT_ONCE) -> Tally:
    """The same without a run of Prefect's."""
    tally = Tally()
    for one in known_tenants(tenant):
        with tenant_session(one.id) as session:
            notices = report_expired(session, one.id, who.actor, now=utc_now(), gather=gather)
        _count(tally, "never answered", one.id, notices)
    return tally


def _count(tally: Tally, what: str, tenant_id: int, notices: Sequence[Notice]) -> None:
    for notice in notices:
        tally.count(what, len(notice.overdue))
        if notice.to:
            tally.count("mails")
        else:
            tally.problem("departments without an address")
            tally.note(f"tenant {tenant_id}, department {notice.department_id or 'none'}: nobody to mail")
