"""What a demo scenario is given, what it returns, and the table made of the returns."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

FINAL_STATES = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
RUN_SECONDS = 60


class ScenarioError(Exception):
    """Something did not come out as it should; the message says what was expected and what was found."""


@dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    process: str
    given: str
    outcome: str
    link: str = ""
    is_right: bool = True
    seconds: float = 0.0


@dataclass(frozen=True)
class Hub:
    """The running hub as an outside caller sees it: clients of its API and of the Prefect server."""

    api: httpx.Client
    prefect: httpx.Client
    urls: dict[str, str]
    settings: dict[str, str]
    tell: Callable[[str], None]
    """Shows progress: a line for each step that has ended."""
    state_dir: Path

    def run_deployment(self, deployment: str, **parameters: Any) -> dict[str, Any]:
        """Run `flow/deployment` and return the finished flow run; ScenarioError when it takes too long."""
        found = self.prefect.get(f"/deployments/name/{deployment}").raise_for_status().json()
        path = f"/deployments/{found['id']}/create_flow_run"
        run = self.prefect.post(path, json={"parameters": parameters}).raise_for_status().json()
        deadline = time.monotonic() + RUN_SECONDS
        while run["state_type"] not in FINAL_STATES:
            if time.monotonic() > deadline:
                raise ScenarioError(f"{deployment} was still {run['state_name']} after {RUN_SECONDS} s")
            time.sleep(0.2)
            run = self.prefect.get(f"/flow_runs/{run['id']}").raise_for_status().json()
        return dict(run)

    def run_link(self, run: dict[str, Any]) -> str:
        """Where the Prefect UI shows the run."""
        return f"{self.urls['Prefect UI']}/runs/flow-run/{run['id']}"


Scenario = Callable[[Hub], list[Outcome]]
"""Drives one process; its promise is its docstring's first line."""


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as aligned text."""
    heads = ("process", "input", "outcome", "seconds", "link")
    rows = [
        (
            row.process,
            row.given,
            row.outcome if row.is_right else f"WRONG: {row.outcome}",
            f"{row.seconds:.1f}",
            row.link,
        )
        for row in outcomes
    ]
    widths = [max(len(line[column]) for line in (heads, *rows)) for column in range(len(heads))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (heads, *rows)]
    lines.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)
