"""The job variables of a run, and what the worker knows of it: handed to the fork, which need not ask for it again."""

import os
from collections.abc import Iterator
from typing import Any, Literal
from uuid import UUID

from prefect.client.schemas.objects import Flow, FlowRun, WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.workers.process import ProcessJobConfiguration, ProcessVariables
from pydantic import Field, PrivateAttr

from deployments.worker.warm.packages import is_warm

COLD = ("PYTHON", "LD_", "MALLOC_")
"""Variables read when a process starts: a run that is given its own cannot be forked."""
Preload = Literal["flows", "great_expectations"]


class WarmJobConfiguration(ProcessJobConfiguration):
    """A run's job variables."""

    preload: Preload = Field(default="flows")
    _is_ours: bool = PrivateAttr(default=False)
    _related: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    def prepare_for_flow_run(
        self,
        flow_run: FlowRun,
        deployment: DeploymentResponse | None = None,
        flow: Flow | None = None,
        work_pool: WorkPool | None = None,
        worker_name: str | None = None,
        worker_id: UUID | None = None,
    ) -> None:
        """Note whether the run's code is what the parents have imported, and nothing fetched from elsewhere."""
        super().prepare_for_flow_run(flow_run, deployment, flow, work_pool, worker_name, worker_id)
        entrypoint = (deployment.entrypoint or "") if deployment else ""
        self._is_ours = is_warm(entrypoint) and deployment is not None and not deployment.pull_steps
        if self._is_ours:
            self.env["PREFECT__FLOW_ENTRYPOINT"] = entrypoint
        self._related = dict(_described(flow_run, deployment, flow, work_pool))

    @property
    def related(self) -> dict[str, dict[str, Any]]:
        """What the run's events name beside it (kind, id, name, tags), by the key of Prefect's cache of such things."""
        return self._related

    def can_be_forked(self) -> bool:
        """Whether a fork gives all that these job variables ask for."""
        changed = {name for name, value in self.env.items() if os.environ.get(name) != value}
        return self._is_ours and not self._command_configured and not any(name.startswith(COLD) for name in changed)


class WarmVariables(ProcessVariables):
    """What the pool's template and the Run form offer."""

    preload: Preload = Field(
        default="flows",
        title="Preload",
        description="What is imported before the run starts: great_expectations for flows that check with it.",
    )


def _described(
    flow_run: FlowRun, deployment: DeploymentResponse | None, flow: Flow | None, work_pool: WorkPool | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind, id, name and tags of what a run belongs to, by the key under which Prefect remembers it."""
    if flow is not None:
        yield f"flow.{flow.id}", {"kind": "flow", "id": str(flow.id), "name": flow.name, "tags": flow.tags}
    if deployment is not None:
        described = {"id": str(deployment.id), "name": deployment.name, "tags": deployment.tags}
        yield f"deployment.{deployment.id}", {"kind": "deployment", **described}
    if work_pool is not None:
        yield f"work-pool.{work_pool.name}", {"kind": "work-pool", "id": str(work_pool.id), "name": work_pool.name}
    if flow_run.work_queue_id is not None:
        queue = {"id": str(flow_run.work_queue_id), "name": flow_run.work_queue_name or ""}
        yield f"work-queue.{flow_run.work_queue_id}", {"kind": "work-queue", **queue}
