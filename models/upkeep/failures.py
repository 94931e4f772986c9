"""Mails about flow runs that failed: each run counted once, each deployment in one mail an hour at most.

They go through the outbox of the operators' tenant, and say nothing about any tenant: deployments, counts, addresses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.kernel.errors import ConfigError
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import publish_many
from models.kernel.settings import Settings
from models.kernel.tenancy import KnownTenant
from models.upkeep.failure_tables import FailureNotice

RUNS = "runs"
THE_LOOK = ""
"""The subject whose row holds up to where all runs were looked at."""
FIRST_LOOK = timedelta(hours=1)
FARTHEST_LOOK = timedelta(days=7)
PAUSE = timedelta(hours=1)
"""Between two mails about one subject."""


@dataclass(frozen=True, slots=True)
class BadRun:
    """A flow run that ended `failed` or `crashed`; `page` is its address in the Prefect UI."""

    deployment: str
    state: str
    ended_at: datetime
    page: str


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the runs that ended after `since` and not after `until`; `seen` is what was noted at its beginning."""

    seen: datetime | None
    since: datetime
    until: datetime


def operators_tenant(tenants: Sequence[KnownTenant], config: Settings) -> KnownTenant:
    """The tenant whose outbox carries mails to the operators; ConfigError when there is none."""
    chosen = [one for one in tenants if config.operator_tenant in ("", one.slug)]
    if not chosen:
        raise ConfigError("LABWIRE_OPERATOR_TENANT names no active tenant, or there is none yet")
    return min(chosen, key=lambda one: one.id)


def next_look(session: Session, tenant_id: int, *, until: datetime) -> Look:
    """What is to be looked at now: from the end of the look before, the first time from an hour ago."""
    wanted = select(FailureNotice.looked_until).where(*_is(tenant_id, THE_LOOK))
    seen = session.scalar(wanted)
    since = until - FIRST_LOOK if seen is None else max(seen, until - FARTHEST_LOOK)
    return Look(seen, since, max(until, since))  # a clock that was set back must not make a look begin again


def report_runs(
    session: Session, tenant_id: int, look: Look, runs: Sequence[BadRun], *, to: Sequence[str], now: datetime
) -> tuple[int, int]:
    """Note what a look found and mail what is due; runs newly counted and runs mailed about.

    Two looks at the same time: the second to come here finds the first one's end noted, and counts nothing.
    """
    noted = _locked(session, tenant_id, [THE_LOOK, *{run.deployment for run in runs}])
    fresh: Sequence[BadRun] = ()
    if noted[THE_LOOK].looked_until == look.seen:
        noted[THE_LOOK].looked_until = look.until
        fresh = sorted((run for run in runs if look.since < run.ended_at <= look.until), key=lambda run: run.ended_at)
        for run in fresh:
            noted[run.deployment].waiting = _with(noted[run.deployment].waiting, run)
    session.flush()
    return len(fresh), _mail_due(session, tenant_id, to, now)


def _with(waiting: Mapping[str, Any], run: BadRun) -> dict[str, Any]:
    """What waits to be told of one deployment, and this run."""
    moment = run.ended_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    is_last = moment >= waiting.get("last_at", "")
    return {
        "failed": waiting.get("failed", 0) + (run.state == "failed"),
        "crashed": waiting.get("crashed", 0) + (run.state == "crashed"),
        "first_at": min(moment, waiting.get("first_at", moment)),
        "last_at": moment if is_last else waiting["last_at"],
        "page": run.page if is_last else waiting["page"],
    }


def _mail_due(session: Session, tenant_id: int, to: Sequence[str], now: datetime) -> int:
    """One mail to each address about every deployment with something to tell that was not told of within the hour."""
    waiting = select(FailureNotice).where(
        FailureNotice.tenant_id == tenant_id,
        FailureNotice.topic == RUNS,
        FailureNotice.waiting != {},
        (FailureNotice.mailed_at.is_(None)) | (FailureNotice.mailed_at <= now - PAUSE),
    )
    due = session.scalars(waiting.order_by(FailureNotice.subject).with_for_update()).all()
    if not due:
        return 0
    deployments = [{"name": notice.subject, **notice.waiting} for notice in due]
    count: int = sum(one["failed"] + one["crashed"] for one in deployments)
    context = {"laboratory": "labwire", "count": count, "deployments": deployments}
    # Not in order, one for each: an address that is refused delays neither the next mail nor the other addresses.
    events = [
        mail_event(tenant_id, "runs.failed", "operators", Mail("runs_failed", [address], context), is_ordered=False)
        for address in to
    ]
    publish_many(session, tenant_id, events)
    for notice in due:
        notice.waiting, notice.mailed_at = {}, now
    session.flush()
    return count


def _locked(session: Session, tenant_id: int, subjects: Sequence[str]) -> dict[str, FailureNotice]:
    """The notices of these subjects, made where missing; locked in the order of their names."""
    for subject in sorted(set(subjects)):
        values = {"tenant_id": tenant_id, "topic": RUNS, "subject": subject}
        session.execute(insert(FailureNotice).values(values).on_conflict_do_nothing())
    wanted = select(FailureNotice).where(
        FailureNotice.tenant_id == tenant_id, FailureNotice.topic == RUNS, FailureNotice.subject.in_(subjects)
    )
    found = session.scalars(
        wanted.order_by(FailureNotice.subject).with_for_update().execution_options(populate_existing=True)
    )
    return {notice.subject: notice for notice in found}


def _is(tenant_id: int, subject: str) -> tuple[Any, ...]:
    return (FailureNotice.tenant_id == tenant_id, FailureNotice.topic == RUNS, FailureNotice.subject == subject)
