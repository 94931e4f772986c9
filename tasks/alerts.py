"""Tasks of escalate-alerts: what is due of every tenant's open alerts."""

import asyncio

from models.alerts.stores.escalation import MOST_AT_ONCE, Escalated, escalate
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.tenancy import known_tenants, tenant_session
from tasks.runs import batch_task, flow_actor
from tasks.tally import Tally


@batch_task
async def escalate_due_alerts(tenant: str) -> Tally:
    """Do every step that is due, once each, in transactions of MOST_AT_ONCE alerts."""
    return await asyncio.to_thread(escalate_all, tenant, flow_actor())


def escalate_all(tenant: str, actor: Actor) -> Tally:
    """The same without a run of Prefect's."""
    tally = Tally()
    for one in known_tenants(tenant):
        done = Escalated(alerts=MOST_AT_ONCE)
        while done.alerts == MOST_AT_ONCE:
            with tenant_session(one.id) as session:
                done = escalate(session, one.id, utc_now(), actor=actor)
            tally.count("alerts", done.alerts).count("steps", done.steps).count("people told", done.told)
            for alert_id in done.nobody:
                tally.problem("nobody to tell").note(
                    f"tenant {one.id}, alert {alert_id}: no contact of the step's roles"
                )
    return tally
