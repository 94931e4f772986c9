"""What a forked process does to become a run: nothing of the parent's is used but what it has imported."""

import asyncio
import os
import runpy
import signal
import sys
import tempfile
import time
import warnings
from typing import Any

from prefect.client.schemas.objects import FlowRun, State
from prefect.context import refresh_global_settings_context
from prefect.flows import load_flow_from_flow_run
from prefect.logging.configuration import setup_logging
from prefect.runner._hook_runner import HookRunner

from deployments.worker.warm import run_locks


def become(order: dict[str, Any], descriptors: list[int]) -> None:
    """Take over output, environment and working folder, then be Prefect's engine for the run, or run its hooks."""
    *output, gate = descriptors
    if not os.read(gate, 1):  # the worker has not learnt of this process, and starts another one
        os._exit(0)
    os.close(gate)
    _take_output(output)
    _forget_the_parent(order)
    if "hook" in order:
        asyncio.run(_run_hooks(**order["hook"]))
        return
    run_locks.hold(os.environ["PREFECT__FLOW_RUN_ID"])
    sys.argv = ["prefect.engine"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a module run again that is imported already
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def _take_output(output: list[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in zip((nothing, *output), (0, 1, 2), strict=True):
        os.dup2(descriptor, standard)
    for descriptor in {nothing, *output} - {0, 1, 2}:
        os.close(descriptor)


def _forget_the_parent(order: dict[str, Any]) -> None:
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    tempfile.tempdir = None
    os.chdir(order["working_dir"])
    sys.path[0] = order["working_dir"]
    refresh_global_settings_context()
    setup_logging()


async def _run_hooks(kind: str, flow_run: str, state: str) -> None:
    hooks = HookRunner(resolve_flow=load_flow_from_flow_run)
    run = hooks.run_crashed_hooks if kind == "crashed" else hooks.run_cancellation_hooks
    await run(FlowRun.model_validate_json(flow_run), State.model_validate_json(state))
