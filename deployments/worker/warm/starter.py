"""Prefect's strategy for starting a run, by a fork of a warm parent."""

import os
import sys
from pathlib import Path
from typing import Any

import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.runner._control_channel import ControlChannel
from prefect.runner._process_manager import ProcessHandle

from deployments.worker.warm import run_locks
from deployments.worker.warm.configuration import WarmJobConfiguration
from deployments.worker.warm.parents import Parents

LOG_NAME = "runs"


class WarmStarter:
    """Fulfils `prefect.runner._flow_run_executor.ProcessStarter`."""

    def __init__(
        self, parents: Parents, configuration: WarmJobConfiguration, working_dir: Path, control_channel: ControlChannel
    ) -> None:
        self.preload = configuration.preload
        self._parents = parents
        self._configuration = configuration
        self._working_dir = working_dir
        self._control_channel = control_channel

    async def start(
        self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Fork, say which process it is, and return when it has ended."""
        order = self.order(flow_run)
        try:
            # No listener could be bound: cancelling is then by signal alone.
            port, token = self._control_channel.register(flow_run.id)
            order["environment"] |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
        except RuntimeError:
            pass
        try:
            process = await self._parents.start(self.preload, order, self.output)
        except BaseException:
            self._control_channel.unregister(flow_run.id)
            raise
        task_status.started(ProcessHandle(process))  # type: ignore[arg-type] # pid and returncode are all it asks for
        await process.wait()
        run_locks.forget(str(flow_run.id))

    def order(self, flow_run: FlowRun) -> dict[str, Any]:
        """What `prefect.runner._starter_engine` gives its process; the job's variables hold Prefect's settings."""
        complete: dict[str, str | None] = {
            **os.environ,
            **self._configuration.env,
            "PREFECT__FLOW_RUN_ID": str(flow_run.id),
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
        }
        environment = {name: value for name, value in complete.items() if value is not None}
        return {
            "environment": environment,
            "working_dir": str(self._working_dir),
            "related": self._configuration.related,
        }

    def output(self) -> int:
        """A descriptor of where runs write.

        `logs/runs.log` of the state folder, where there is one: a pipe to the worker would break when the worker is
        killed, and end the run with its next line.
        """
        state_dir = os.environ.get("LABWIRE_STATE_DIR")
        if not self._configuration.stream_output:
            return os.open(os.devnull, os.O_WRONLY)
        if not state_dir:
            return os.dup(sys.stdout.fileno())
        return os.open(f"{state_dir}/logs/{LOG_NAME}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
