"""Flows that the tests of the workers run: each shows one thing."""

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun
from prefect.flows import Flow
from prefect.states import Completed


def note_hook(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Leave a file beside the run's `note` parameter."""
    Path(flow_run.parameters["note"]).write_text(f"{state.name} {flow_run.id}")


@flow(name="tells", on_crashed=[note_hook])
async def tells(names: list[str] | None = None, note: str = "") -> State[Any]:
    """What the run's process is: environment, folder, threads, modules."""
    get_run_logger().info("a line of the run")
    return Completed(
        message=json.dumps(
            {
                "environment": {name: os.environ.get(name) for name in names or []},
                "folder": os.getcwd(),
                "pid": os.getpid(),
                "has_quality": "great_expectations" in sys.modules,
            }
        )
    )


@flow(name="sleeps", on_cancellation=[note_hook], on_crashed=[note_hook])
async def sleeps(seconds: float = 60, note: str = "") -> State[Any]:
    """Say which process it is, then sleep."""
    if note:
        await asyncio.to_thread(Path(note + ".pid").write_text, str(os.getpid()))
    await asyncio.sleep(seconds)
    return Completed(message="slept")


@flow(name="dies", on_crashed=[note_hook])
async def dies(note: str, code: int | None = None) -> None:
    """End at once: with an exit code, or as the kernel ends a process that takes all memory."""
    if code is not None:
        os._exit(code)
    os.kill(os.getpid(), signal.SIGKILL)


@flow(name="spawns")
async def spawns() -> State[Any]:
    """Leave a thread and two processes behind, one of them in a session of its own, and one that is dead."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return Completed(message=json.dumps(await asyncio.to_thread(_spawn)))


def _spawn() -> list[int]:
    left = [
        subprocess.Popen(["sleep", "600"]),
        subprocess.Popen(["sleep", "600"], start_new_session=True),
        subprocess.Popen(["true"]),
    ]
    return [process.pid for process in left]


@flow(name="too-slow", timeout_seconds=1)
async def too_slow() -> None:
    """Takes longer than it may."""
    await asyncio.sleep(60)


@flow(name="ends-slowly")
async def ends_slowly(note: str) -> State[Any]:
    """Leave a thread that is waited for and an exit handler: each writes into the note after the flow's end."""

    def add(word: str) -> None:
        with Path(note).open("a") as file:
            file.write(word)

    def later() -> None:
        time.sleep(1)
        add("thread ")

    threading.Thread(target=later).start()
    atexit.register(add, "handler")
    return Completed(message="done")


@flow(name="empty")
async def empty() -> State[Any]:
    """Nothing at all."""
    return Completed(message="done")


@task(cache_policy=NO_CACHE, persist_result=False)
async def check() -> str:
    """Import what a quality gate imports, inside the task as our flows do."""
    import great_expectations

    return str(great_expectations.__version__)


@flow(name="checks")
async def checks() -> State[Any]:
    """One task that needs Great Expectations."""
    return Completed(message=await check())
