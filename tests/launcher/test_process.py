"""What the launcher does to processes, without a hub."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments.launcher.process import SESSION_VARIABLE, child_setup, end_session, is_alive, members
from deployments.launcher.supervisor import GUARD
from tests.launcher.running import wait_for

pytestmark = pytest.mark.unit

# Starts a process of its own that ignores SIGTERM, prints its id, and stays.
WITH_GRANDCHILD = """
import subprocess, sys, time
line = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", line], start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def _start(session: str) -> tuple[subprocess.Popen[str], int]:
    child = subprocess.Popen(
        [sys.executable, "-c", WITH_GRANDCHILD],
        env=os.environ | {SESSION_VARIABLE: session},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def test_a_session_is_ended_with_its_orphans_and_those_that_ignore_signals() -> None:
    child, grandchild = _start("session-a")
    bystander, spared = _start("session-b")
    child.kill()
    child.wait()
    assert members("session-a") == [grandchild]
    assert end_session("session-a", grace_seconds=0.3) == 1
    assert not is_alive(grandchild)
    assert is_alive(spared)
    bystander.kill()
    bystander.wait()
    end_session("session-b", grace_seconds=0)


def test_the_guard_ends_a_session_when_its_launcher_is_gone() -> None:
    child, grandchild = _start("session-c")
    guard = subprocess.Popen([sys.executable, "-I", "-S", str(GUARD), "session-c"], stdin=subprocess.PIPE, env={})
    wait_for(lambda: _ignores(guard.pid, signal.SIGTERM), 5, "guard at its post")
    guard.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert is_alive(grandchild)
    assert guard.poll() is None
    assert guard.stdin is not None
    guard.stdin.close()
    assert guard.wait(10) == 0
    assert not is_alive(grandchild)
    child.wait(5)


def _ignores(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = int(status.split("SigIgn:")[1].split()[0], 16)
    return bool(ignored & 1 << (number - 1))


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    out = tmp_path / "pid"
    parent = (
        "import subprocess, sys, time\n"
        "from deployments.launcher.process import child_setup\n"
        "child = subprocess.Popen(['sleep', '600'], preexec_fn=child_setup())\n"
        f"open({str(out)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=Path(__file__).parent.parent.parent)
    pid = int(wait_for(lambda: out.exists() and out.read_text(), 20, "child started"))
    assert is_alive(pid)
    process.kill()
    process.wait()
    wait_for(lambda: not is_alive(pid), 5, "child gone")


def test_a_child_hears_an_interrupt_though_its_parent_ignores_them() -> None:
    """A shell has its background jobs ignore SIGINT, and children inherit that."""
    program = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        line = [sys.executable, "-c", program]
        prepare = child_setup()
        done = subprocess.run(line, preexec_fn=prepare, capture_output=True, text=True, check=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.stdout.strip() == "True"
