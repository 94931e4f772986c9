"""What a run did to which assignments: counts for its final state, and a table of ids on its page."""

from dataclasses import dataclass
from uuid import uuid4

import httpx
import structlog
from prefect.artifacts import acreate_table_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from models.kernel.audit import Actor
from tasks.runs import publish_tally
from tasks.tally import Tally

MOST_ROWS = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """One assignment (or instrument, where there is none) and what became of it; ids and fixed words alone."""

    tenant_id: int
    instrument_id: int
    assignment_id: int | None
    outcome: str


class Report:
    """Lines and counts of one run; opaque to Prefect, which would walk every line."""

    __slots__ = ("lines", "tally", "troubled")

    def __init__(self) -> None:
        self.tally = Tally()
        self.lines: list[Line] = []
        self.troubled: list[Line] = []

    def went_well(self, line: Line) -> None:
        """Count an outcome that needs nobody."""
        self.tally.count(line.outcome)
        self.lines.append(line)

    def was_caught(self, line: Line) -> None:
        """Count an outcome that waits for somebody in the hub's own lists, such as a held result; the run did well."""
        self.tally.count(line.outcome)
        self.troubled.append(line)

    def needs_a_look(self, line: Line) -> None:
        """Count what could not be done: the run ends Failed."""
        self.tally.problem(line.outcome)
        self.troubled.append(line)

    def merge(self, other: "Report") -> "Report":
        """Add another report's lines and counts to this one."""
        self.tally.merge(other.tally)
        self.lines += other.lines
        self.troubled += other.troubled
        return self

    def __repr__(self) -> str:
        return f"<Report: {self.tally.message}>"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a run is: the name its leases are held under, and whom the audit trail names."""

    owner: str
    actor: Actor


def identity(name: str) -> Identity:
    """The present run's identity; a new name for leases each time, so that a rerun does not take over its own ghost."""
    run_id = flow_run.get_id() or "no-run"
    return Identity(f"{run_id}:{uuid4().hex[:8]}", Actor("flow", str(run_id), name))


async def publish_report(report: Report) -> None:
    """Leave counts and table on the run's page, what needs a look first; without a run or a server nothing happens."""
    await publish_tally(report.tally)
    context = FlowRunContext.get()
    lines = [*report.troubled, *report.lines]
    if context is None or context.flow is None or not lines:
        return
    left_out = f" The first {MOST_ROWS} of {len(lines)} are shown." if len(lines) > MOST_ROWS else ""
    try:
        await acreate_table_artifact(
            [_row(line) for line in lines[:MOST_ROWS]],
            key=f"{context.flow.name}-outcomes",
            description=f"What became of each assignment.{left_out}",
        )
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("the table could not be shown", error=type(error).__name__)


def _row(line: Line) -> dict[str, str | int]:
    return {
        "tenant": line.tenant_id,
        "instrument": line.instrument_id,
        "assignment": "" if line.assignment_id is None else line.assignment_id,
        "outcome": line.outcome,
    }
