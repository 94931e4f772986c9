"""The supervisor on toy parts."""

import asyncio
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

import pytest

from deployments.launcher.parts import Part, in_order
from deployments.launcher.process import SESSION_VARIABLE, is_alive
from deployments.launcher.supervisor import StartError, Supervisor

pytestmark = pytest.mark.unit

STAY = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def _supervisor(tmp_path: Path, *parts: Part) -> Supervisor:
    environment = os.environ | {SESSION_VARIABLE: f"toy-{os.getpid()}-{tmp_path.name}"}
    return Supervisor(list(parts), environment=environment, log_folder=tmp_path, changed=lambda: None)


async def test_parts_start_in_the_order_of_their_needs_and_stop_in_the_opposite(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = (
        "import signal, sys, time\n"
        "def write(word): open({trace!r}, 'a').write(word + ' ' + {name!r} + '\\n')\n"
        "signal.signal(signal.SIGTERM, lambda *_: (write('stop'), sys.exit(0)))\n"
        "write('start')\n"
        "time.sleep(600)\n"
    )

    def part(name: str, *needs: str) -> Part:
        async def has_started(since: datetime) -> bool:
            return trace.exists() and f"start {name}" in trace.read_text()

        line = [sys.executable, "-c", program.format(trace=str(trace), name=name)]
        return Part(name=name, command=line, needs=needs, is_ready=has_started)

    supervisor = _supervisor(tmp_path, part("c", "b"), part("b", "a"), part("a"))
    await supervisor.start()
    await supervisor.stop()
    assert trace.read_text().split("\n")[:-1] == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


async def test_a_failed_step_ends_the_start_with_the_end_of_its_log(tmp_path: Path) -> None:
    step = Part(name="step", command=["sh", "-c", "echo what went wrong; exit 3"], is_step=True)
    later = Part(name="later", command=STAY, needs=("step",))
    supervisor = _supervisor(tmp_path, later, step)
    with pytest.raises(StartError, match=r"(?s)step failed with 3.*what went wrong"):
        await supervisor.start()
    await supervisor.stop()
    assert supervisor.states["later"].pid is None
    assert supervisor.states["step"].state == "failed"


async def test_a_part_that_never_gets_up_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.launcher.supervisor.PAUSES_SECONDS", (0.01,))

    async def never(since: datetime) -> bool:
        return False

    supervisor = _supervisor(tmp_path, Part(name="weak", command=["false"], is_ready=never))
    with pytest.raises(StartError, match="weak ended with 1 at every start"):
        await supervisor.start()
    await supervisor.stop()


async def test_a_part_whose_preparation_fails_ends_the_start_with_the_reason(tmp_path: Path) -> None:
    def fail() -> None:
        raise FileNotFoundError("the folder is gone")

    supervisor = _supervisor(tmp_path, Part(name="weak", command=STAY, before=fail))
    with pytest.raises(FileNotFoundError, match="the folder is gone"):
        await supervisor.start()
    await supervisor.stop()


async def test_the_pause_before_a_restart_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.launcher.supervisor.PAUSES_SECONDS", (0.1, 0.4, 30))
    starts: list[float] = []
    loop = asyncio.get_running_loop()
    part = Part(name="weak", command=["sleep", "0.1"], before=lambda: starts.append(loop.time()))
    supervisor = _supervisor(tmp_path, part)
    await supervisor.start()
    await asyncio.sleep(2)
    await supervisor.stop()
    assert len(starts) == 3  # the third pause is longer than the test
    assert starts[2] - starts[1] >= 0.5  # the second one, and what the part itself took: a busy machine only adds
    assert supervisor.states["weak"].restarts == 3


async def test_what_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    async def is_up(since: datetime) -> bool:
        return (tmp_path / "deaf.log").read_text() != ""

    part = Part(name="deaf", command=[sys.executable, "-c", STUBBORN], is_ready=is_up, stop_seconds=0.3)
    supervisor = _supervisor(tmp_path, part)
    await supervisor.start()
    pid = supervisor.states["deaf"].pid
    assert is_alive(pid)
    await supervisor.stop()
    assert not is_alive(pid)


async def test_a_second_signal_hurries_the_stop(tmp_path: Path) -> None:
    async def is_up(since: datetime) -> bool:
        return (tmp_path / "deaf.log").read_text() != ""

    part = Part(name="deaf", command=[sys.executable, "-c", STUBBORN], is_ready=is_up, stop_seconds=60)
    supervisor = _supervisor(tmp_path, part)
    await supervisor.start()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(supervisor.stopping.wait(), 5)
    stop = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(stop, 10)


def test_needs_that_cannot_be_met_are_named() -> None:
    with pytest.raises(ValueError, match="a, b"):
        in_order([Part(name="a", command=[], needs=("b",)), Part(name="b", command=[], needs=("a",))])
