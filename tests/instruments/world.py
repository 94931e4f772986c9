"""The laboratory of helpers.py connected to simulated analysers, and the processes without Prefect around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from deployments.simulators.instrument import SimulatedInstrument
from models.instruments.inputs import EquipmentInput, KeyInput
from models.instruments.stores.equipment import add_key, create_equipment
from models.instruments.stores.polls import WhichPolls
from models.instruments.stores.submissions import Which
from models.kernel.clock import utc_now
from models.kernel.tenancy import owner_session, tenant_session
from tasks.instruments import polls, submissions
from tasks.instruments.report import Report, identity
from tests.instruments.helpers import Lab

SETTINGS: dict[str, Any] = {"queue_seconds": 0.0, "run_seconds": 0.0}


@dataclass
class World:
    """A laboratory and its analysers by equipment id."""

    lab: Lab
    simulators: dict[int, SimulatedInstrument]
    slug: str = "alpha"

    @property
    def one(self) -> SimulatedInstrument:
        """The analyser, where there is one."""
        (simulator,) = self.simulators.values()
        return simulator

    @property
    def equipment_id(self) -> int:
        """Its equipment id."""
        (equipment_id,) = self.simulators
        return equipment_id

    def connect(self, simulator: SimulatedInstrument, **given: Any) -> int:
        """Make the analyser known to the hub; its equipment id."""
        values = {
            "name": f"Analyser {len(self.simulators) + 1}",
            "api_endpoint": simulator.url,
            "is_idempotent": simulator.options.honours_keys,
            "supports_auto_fetch": True,
            "timeout_seconds": "2",
            **given,
        }
        actor = self.lab.actor("admin")
        with tenant_session(self.lab.tenant_id) as session:
            made = create_equipment(session, self.lab.tenant_id, actor, EquipmentInput.model_validate(values))
            add_key(session, self.lab.tenant_id, actor, made.id, KeyInput.model_validate({"key": simulator.api_key}))
        self.simulators[made.id] = simulator
        return made.id

    def order(self, count: int = 1, *, equipment_id: int | None = None, **given: Any) -> list[int]:
        """Assignments for an analyser (the only one where none is named)."""
        return self.lab.order(
            given.pop("test_code", "LAB-HGB"), count=count, equipment_id=equipment_id or self.equipment_id, **given
        )

    def states(self, ids: Sequence[int]) -> list[str]:
        """The states of these assignments, as one letter each."""
        return [self.lab.assignment(one).status for one in ids]

    def delivery_states(self, assignment_id: int) -> list[str]:
        return [delivery.state for delivery in self.lab.deliveries(assignment_id)]


async def submit(tenant: str = "", **which: Any) -> Report:
    """What flow submit-assignments does, without Prefect."""
    who = identity("submit-assignments")
    settled = submissions.settle_all(tenant, who)
    sent = await submissions.send_due(submissions.find_due(tenant, Which(**which)), who)
    return sent.merge(settled)


async def poll(tenant: str = "", *, equipment_id: int | None = None, assignment_id: int | None = None) -> Report:
    """What flow poll-results does, without Prefect."""
    who = identity("poll-results")
    report = polls.complete_waiting(tenant, who)
    due = polls.find_due(tenant, WhichPolls(utc_now(), equipment_id, assignment_id))
    return report.merge(await polls.fetch_due(due, who))


def expire_leases() -> None:
    """Let every lease end now, as if two minutes had passed."""
    run_sql(
        "UPDATE delivery SET leased_until = now() WHERE state = 'leased'",
        "UPDATE assignment SET poll_leased_until = now() WHERE poll_leased_until IS NOT NULL",
    )


def end_back_off() -> None:
    """Make everything due again due now."""
    run_sql("UPDATE delivery SET next_attempt_at = now() WHERE state = 'due'")


def poll_again() -> None:
    """Make every queued result due now."""
    run_sql("UPDATE assignment SET next_poll_at = now() WHERE status IN ('Q', 'I')")


def run_sql(*statements: str) -> None:
    """Change rows of every tenant, as the owner."""
    with owner_session() as session:
        for statement in statements:
            session.execute(text(statement))


def dump(*tables: str) -> dict[str, list[Any]]:
    """Every row of these tables, to compare two moments."""
    with owner_session() as session:
        return {name: list(session.execute(text(f"SELECT x.* FROM {name} x ORDER BY id"))) for name in tables}
