"""The worker type `labwire-warm`: Prefect's process worker, whose runs are forked from a warm parent."""

import asyncio
import os
from typing import Any, Literal

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.workers.process import ProcessJobConfiguration, ProcessVariables, ProcessWorker, ProcessWorkerResult
from pydantic import Field, PrivateAttr

from deployments.worker.warm.hooks import WarmHookRunner
from deployments.worker.warm.packages import is_warm
from deployments.worker.warm.parents import ROOT, Parents
from deployments.worker.warm.process import adopt_orphans, bury_orphans, end_orphans
from deployments.worker.warm.starter import WarmStarter
from deployments.worker.warm.tls import share_contexts

COLD = ("PYTHON", "LD_", "MALLOC_")
"""Variables read when a process starts: a run that is given its own cannot be forked."""
BURY_SECONDS = 5
Preload = Literal["flows", "great_expectations"]


class WarmJobConfiguration(ProcessJobConfiguration):
    """A run's job variables."""

    preload: Preload = Field(default="flows")
    _is_ours: bool = PrivateAttr(default=False)

    def prepare_for_flow_run(
        self, flow_run: FlowRun, deployment: DeploymentResponse | None = None, *rest: Any, **more: Any
    ) -> None:
        """Note whether the run's code is what the parents have imported, and nothing fetched from elsewhere."""
        entrypoint = (deployment.entrypoint or "") if deployment else ""
        self._is_ours = is_warm(entrypoint) and deployment is not None and not deployment.pull_steps
        super().prepare_for_flow_run(flow_run, deployment, *rest, **more)

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


class WarmWorker(ProcessWorker):
    """Everything of the process worker, but the start of a run's process."""

    type = "labwire-warm"
    job_configuration = WarmJobConfiguration
    job_configuration_variables = WarmVariables  # type: ignore[assignment] # the type it is given, not None
    _display_name = "Labwire warm process"
    _description = "Runs flows as processes forked from one that has everything imported: started in half a second."
    _documentation_url = ""
    _logo_url = ""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parents = Parents()

    async def __aenter__(self) -> "WarmWorker":
        adopt_orphans()
        share_contexts()
        await super().__aenter__()
        await self.parents.fresh("flows")
        self._burying = asyncio.create_task(_bury_now_and_then())
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        try:
            await super().__aexit__(*exc_info)
        finally:
            self._burying.cancel()
            self.parents.close()
            end_orphans()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Start the run warm where that gives what its job variables ask for, else as the process worker does."""
        status = task_status or anyio.TASK_STATUS_IGNORED
        if not (isinstance(configuration, WarmJobConfiguration) and configuration.can_be_forked()):
            return await super().run(flow_run, configuration, task_status)
        execution: FlowRunExecutionResult | None = None
        async with FlowRunExecutorContext() as context:
            starter = WarmStarter(
                self.parents,
                configuration.preload,
                environment=configuration.env,
                working_dir=configuration.working_dir or ROOT,
                is_streamed=configuration.stream_output,
                control_channel=context.control_channel,
            )
            hooks = WarmHookRunner(self.parents, configuration.preload, starter.order, starter.output)
            executor = context.create_executor(flow_run, starter, hook_runner=hooks, propose_submitting=False)

            async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED) -> None:
                nonlocal execution
                execution = await executor.submit(task_status=task_status)

            async with anyio.create_task_group() as tasks:
                handle = await tasks.start(execute)
                status.started(handle.pid)
        if execution is None or execution.status_code is None:
            raise RuntimeError("the run's process did not start")
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))


async def _bury_now_and_then() -> None:
    while True:
        await asyncio.sleep(BURY_SECONDS)
        await asyncio.to_thread(bury_orphans)
