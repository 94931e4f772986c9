"""What a forked process does to become a run: nothing of the parent's is used but what it has imported."""

import asyncio
import atexit
import os
import runpy
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import prefect.types._datetime
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import refresh_global_settings_context
from prefect.events.related import RESOURCE_CACHE, ResourceCacheEntry
from prefect.flows import load_flow_from_flow_run
from prefect.logging.configuration import setup_logging
from prefect.runner._hook_runner import HookRunner

from deployments.worker.warm import run_locks
from deployments.worker.warm.rehearsal import Heritage, heritage


def become(order: dict[str, Any], descriptors: list[int], inherited: Heritage) -> NoReturn:
    """Take over output, environment and working folder, be Prefect's engine for the run, or run its hooks; then end."""
    *output, gate = descriptors
    if not os.read(gate, 1):  # the worker has not learnt of this process, and starts another one
        os._exit(0)
    os.close(gate)
    _take_output(output)
    _forget_the_parent(order, inherited)
    _remember(order.get("related", {}))
    _end(_code_of(partial(asyncio.run, _run_hooks(**order["hook"])) if "hook" in order else _run_engine))


def _take_output(output: list[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in zip((nothing, *output), (0, 1, 2), strict=True):
        os.dup2(descriptor, standard)
    for descriptor in {nothing, *output} - {0, 1, 2}:
        os.close(descriptor)


def _forget_the_parent(order: dict[str, Any], inherited: Heritage) -> None:
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    tempfile.tempdir = None
    os.chdir(order["working_dir"])
    sys.path[0] = order["working_dir"]
    if heritage() != inherited:
        refresh_global_settings_context()
        setup_logging()


def _remember(related: dict[str, dict[str, Any]]) -> None:
    """What every event of a run names beside it, which Prefect would ask the server for, in four requests a run."""
    now = prefect.types._datetime.now("UTC")
    for key, known in related.items():
        entry: ResourceCacheEntry = {"kind": known["kind"], "object": cast(Any, SimpleNamespace(**known))}
        RESOURCE_CACHE[key] = (entry, cast(Any, now))


def _run_engine() -> None:
    run_locks.hold(os.environ["PREFECT__FLOW_RUN_ID"])
    sys.argv = ["prefect.engine"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a module run again that is imported already
        runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def _code_of(work: Callable[[], None]) -> int:
    """Do it; the exit code the interpreter would give."""
    try:
        work()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 # the last there is
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """End as the interpreter does, but without clearing every module: that would copy all of the parent's memory.

    As in `multiprocessing`'s forks: threads are waited for, exit handlers run, what is written is flushed.
    """
    threading._shutdown()  # type: ignore[attr-defined] # what the interpreter and multiprocessing call
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _run_hooks(kind: str, flow_run: str, state: str) -> None:
    hooks = HookRunner(resolve_flow=load_flow_from_flow_run)
    run = hooks.run_crashed_hooks if kind == "crashed" else hooks.run_cancellation_hooks
    await run(FlowRun.model_validate_json(flow_run), State.model_validate_json(state))
