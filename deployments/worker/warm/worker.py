"""The worker type `labwire-warm`: Prefect's process worker, whose runs are forked from a warm parent."""

import asyncio
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutor
from prefect.runner._process_manager import ProcessHandle
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from deployments.launcher.parts import ROOT
from deployments.worker.warm.configuration import WarmJobConfiguration, WarmVariables
from deployments.worker.warm.frugal_client import FrugalClient, begin_submission
from deployments.worker.warm.hooks import WarmHookRunner
from deployments.worker.warm.parents import Parents
from deployments.worker.warm.process import adopt_orphans, bury_orphans, end_orphans
from deployments.worker.warm.starter import WarmStarter
from deployments.worker.warm.supervision import Supervision
from deployments.worker.warm.tls import share_contexts
from models.kernel.settings import settings

BURY_SECONDS = 5
UNUSED = 422
"""The server's answer to who asks for a CSRF token where it wants none."""
SUBMITTED_AT_ONCE = 3
TERMINATION_SECONDS = 5
"""For a run that is told to end: its state is reported, its transactions are rolled back."""


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
        self.hooks = WarmHookRunner(self.parents)
        self.supervision = Supervision(self.hooks)
        self._at_work: set[UUID] = set()
        self._submitting = asyncio.Semaphore(SUBMITTED_AT_ONCE)

    async def __aenter__(self) -> "WarmWorker":
        adopt_orphans()
        share_contexts()
        await super().__aenter__()
        self.parents.defaults = await self._ask_once()
        await self.parents.fresh("flows")
        self._burying = asyncio.create_task(_bury_now_and_then())
        return self

    async def _ask_once(self) -> dict[str, str]:
        """Settings that spare each run's clients what the worker's own has learnt: version, CSRF tokens."""
        learnt = {"PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false"}
        try:
            await self.client._client.get("/csrf-token", params={"client": self.name})
        except PrefectHTTPStatusError as refusal:
            if refusal.response.status_code == UNUSED:
                learnt["PREFECT_CLIENT_CSRF_SUPPORT_ENABLED"] = "false"
        return learnt

    async def __aexit__(self, *exc_info: Any) -> None:
        try:
            await self._drain()
        finally:
            try:
                await super().__aexit__(*exc_info)
            finally:
                await self.supervision.close()
                self._burying.cancel()
                self.parents.close()
                end_orphans()

    async def _drain(self) -> None:
        """Begin no run; let those at work end by themselves, then tell them to, then leave them to be killed."""
        with anyio.move_on_after(settings().worker_drain_seconds):
            await self._all_ended()
        if self._at_work:
            self._logger.warning("%d runs are ended, for the worker stops", len(self._at_work))
            self.supervision.terminate()
            with anyio.move_on_after(TERMINATION_SECONDS):
                await self._all_ended()

    async def _all_ended(self) -> None:
        while self._at_work or self._submitting_flow_run_ids:  # noqa: ASYNC110 # the set is Prefect's
            await anyio.sleep(0.05)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Start the run warm where that gives what its job variables ask for, else as the process worker does."""
        self._at_work.add(flow_run.id)
        try:
            if isinstance(configuration, WarmJobConfiguration) and configuration.can_be_forked():
                return await self._run_warm(flow_run, configuration, task_status or anyio.TASK_STATUS_IGNORED)
            await super()._propose_submitting_state(flow_run)
            return await super().run(flow_run, configuration, task_status)
        finally:
            self._at_work.discard(flow_run.id)
            self.hooks.starters.pop(flow_run.id, None)

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """Few at a time: more would wait for each other at the server's database, and cost it more."""
        async with self._submitting:
            begin_submission()
            await super()._submit_run(flow_run)

    @property
    def client(self) -> PrefectClient:
        """The server, asked once for the deployment of a run that is being submitted, not twice."""
        return cast(PrefectClient, FrugalClient(super().client))

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Nothing: a fork takes less time than the server needs to note that there will be one."""

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """Not yet: labels are written when the run has ended, and keep none waiting that begin."""

    async def _run_warm(
        self, flow_run: FlowRun, configuration: WarmJobConfiguration, status: anyio.abc.TaskStatus[int]
    ) -> ProcessWorkerResult:
        async with self.supervision.of_run(flow_run.id) as context:
            folder = configuration.working_dir or ROOT
            starter = WarmStarter(self.parents, configuration, folder, context.control_channel)
            self.hooks.starters[flow_run.id] = starter
            executor = context.create_executor(flow_run, starter, hook_runner=self.hooks, propose_submitting=False)
            execution = await self._execute(executor, status)
            with suppress(httpx.HTTPError):
                await super()._give_worker_labels_to_flow_run(flow_run.id)
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))

    async def _execute(self, executor: FlowRunExecutor, status: anyio.abc.TaskStatus[int]) -> FlowRunExecutionResult:
        execution: FlowRunExecutionResult | None = None

        async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED) -> None:
            nonlocal execution
            execution = await executor.submit(task_status=task_status)

        async with anyio.create_task_group() as tasks:
            handle = await tasks.start(execute)
            status.started(handle.pid)
        if execution is None or execution.status_code is None:
            raise RuntimeError("the run's process did not start")
        return execution


async def _bury_now_and_then() -> None:
    while True:
        await asyncio.sleep(BURY_SECONDS)
        await asyncio.to_thread(bury_orphans)
