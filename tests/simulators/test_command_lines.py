"""The simulators as processes: ready file, SIGTERM, and no import of anything of ours."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.simulators.instrument_cli import parse_fault

pytestmark = pytest.mark.contract


@contextmanager
def running(module: str, *options: str, ready_file: Path, **environment: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", f"deployments.simulators.{module}", "--ready-file", str(ready_file), *options]
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not ready_file.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        yield json.loads(ready_file.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()


def test_analysers_from_the_command_line(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    options = ("--instruments", "2", "--control", "0", "--fault", "status_word=calibrating:1")
    keys = {"SIMULATED_INSTRUMENT_API_KEYS": "one,two"}
    with running("instrument", *options, ready_file=ready_file, **keys) as ready:
        assert ready["api_keys"] == ["one", "two"]
        assert ready_file.stat().st_mode & 0o777 == 0o600
        for instrument in ready["instruments"]:
            words = [
                httpx.get(f"{instrument['url']}/api/status", headers={"X-API-Key": key}).json()["status"]
                for key in ready["api_keys"]
            ]
            assert words == ["calibrating", "online"]
        assert len(httpx.get(ready["control"]).json()["instruments"]) == 2


def test_mailbox_from_the_command_line(tmp_path: Path) -> None:
    with running("mailbox", "--folder", str(tmp_path / "mail"), ready_file=tmp_path / "ready.json") as ready:
        assert httpx.get(f"{ready['url']}/messages.json").json() == []


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("latency_ms=50", ("latency_ms", 50, None)),
        ("timeout_after_accepting:1", ("timeout_after_accepting", None, 1)),
        ("fail_run=short sample:2", ("fail_run", "short sample", 2)),
        ("slow_body=0.5", ("slow_body", 0.5, None)),
    ],
)
def test_faults_on_the_command_line(text: str, parsed: tuple[Any, ...]) -> None:
    assert parse_fault(text) == parsed


@pytest.mark.parametrize("option", ["--fault=nonsense", "--fault=latency_ms=slow", "--instruments=x"])
def test_a_wrong_option_ends_with_2(option: str) -> None:
    command = [sys.executable, "-m", "deployments.simulators.instrument", option]
    assert subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 2


def test_simulators_import_nothing_of_ours() -> None:
    script = (
        "import sys; import deployments.simulators.instrument_cli, deployments.simulators.mailbox;"
        "names = {name.partition('.')[0] for name in sys.modules};"
        "print(sorted(names & {'api', 'expectations', 'flows', 'models', 'tasks', 'prefect', 'fastapi', 'sqlalchemy'}),"
        " [n for n in sys.modules if n.startswith('deployments.') and not n.startswith('deployments.simulators')])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True)
    assert output.stdout.split("\n")[0] == "[] []"
