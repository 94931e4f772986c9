"""Hooks of runs that crashed or were cancelled run in a fork too: the worker itself never imports a flow."""

from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from deployments.worker.warm.parents import ParentGoneError, Parents
from deployments.worker.warm.starter import WarmStarter


class WarmHookRunner:
    """Fulfils `prefect.runner._hook_runner.FlowRunHookRunner`; what goes wrong is logged to the run and ends there."""

    def __init__(self, parents: Parents) -> None:
        self._parents = parents
        self.starters: dict[UUID, WarmStarter] = {}
        """Of the runs at work."""

    async def run_cancellation_hooks(self, flow_run: FlowRun, state: State) -> None:
        """`on_cancellation`, where the state is Cancelling."""
        if state.is_cancelling():
            await self._run("cancellation", flow_run, state)

    async def run_crashed_hooks(self, flow_run: FlowRun, state: State) -> None:
        """`on_crashed`, where the state is Crashed."""
        if state.is_crashed():
            await self._run("crashed", flow_run, state)

    async def _run(self, kind: str, flow_run: FlowRun, state: State) -> None:
        starter = self.starters[flow_run.id]
        hook = {"kind": kind, "flow_run": flow_run.model_dump_json(), "state": state.model_dump_json()}
        try:
            process = await self._parents.start(
                starter.preload, starter.order(flow_run) | {"hook": hook}, starter.output
            )
            code = await process.wait()
        except ParentGoneError as error:
            flow_run_logger(flow_run).warning("The %s hooks could not be started: %s", kind, error)
            return
        if code != 0:
            flow_run_logger(flow_run).warning("The process of the %s hooks ended with %s", kind, code)
