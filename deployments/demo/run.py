"""`labwire demo`: a hub of its own in a throw-away folder, driven through its real doors, judged, and removed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from deployments.demo.scenario import Hub, Outcome, Scenario, ScenarioError, table
from deployments.demo.scenarios import SCENARIOS
from deployments.launcher.environment import read_environment
from deployments.launcher.files import StateFolder
from deployments.launcher.parts import ROOT, python_module
from deployments.launcher.ports import free_port
from deployments.launcher.process import child_setup
from deployments.launcher.status import Status, read_status
from deployments.worker.rest import prefect_client
from models.kernel.errors import ConfigError

READY_SECONDS = 150
STOP_SECONDS = 60
REQUEST_SECONDS = 30
PREFECT_SECONDS = 30


def run_demo(say: Callable[[str], None], *, stay: bool = False) -> bool:
    """Whether every outcome was right; afterwards nothing runs and nothing is left on the disk."""
    began = time.monotonic()
    say("labwire demo: starting everything in a throw-away folder")
    with throw_away_hub(say) as hub:
        outcomes = [row for scenario in SCENARIOS for row in _outcomes(scenario, hub)]
        say(f"\n{table(outcomes)}\n")
        if stay:
            _stay(hub, say)
    is_right = all(row.is_right for row in outcomes)
    wrong = sum(not row.is_right for row in outcomes)
    verdict = "every outcome was right" if is_right else f"{wrong} of {len(outcomes)} outcomes were wrong"
    say(f"labwire demo: {verdict}; {time.monotonic() - began:.0f} s")
    return is_right


@contextmanager
def throw_away_hub(say: Callable[[str], None]) -> Iterator[Hub]:
    """A running hub on free ports, stopped and removed at the end; ConfigError when it does not come up."""
    signal.signal(signal.SIGTERM, _end)
    folder = StateFolder(Path(tempfile.mkdtemp(prefix="labwire-demo-")))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LABWIRE_", "PREFECT_"))}
    environment |= {
        "LABWIRE_STATE_DIR": str(folder.root),
        "LABWIRE_API_PORT": str(free_port()),
        "LABWIRE_PREFECT_PORT": str(free_port()),
    }
    launcher = subprocess.Popen(
        python_module("deployments.cli.main", "up", "--demo", "--throw-away"),
        env=environment,
        cwd=ROOT,
        preexec_fn=child_setup(signal.SIGTERM),  # noqa: PLW1509 # calls into libc prepared beforehand
    )
    try:
        status = _wait_until_ready(launcher, folder)
        settings = read_environment(folder)
        auth = settings["LABWIRE_PREFECT_AUTH_STRING"]
        with (
            httpx.Client(base_url=status.urls["pages"], timeout=REQUEST_SECONDS, trust_env=False) as api,
            prefect_client(f"{status.urls['Prefect UI']}/api", auth) as prefect,
        ):
            prefect.timeout = PREFECT_SECONDS
            yield Hub(api=api, prefect=prefect, urls=status.urls, settings=settings, tell=say, state_dir=folder.root)
    finally:
        launcher.terminate()
        try:
            launcher.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            launcher.kill()
            launcher.wait()
        shutil.rmtree(folder.root, ignore_errors=True)


def _wait_until_ready(launcher: subprocess.Popen[bytes], folder: StateFolder) -> Status:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        status = read_status(folder)
        if status is not None and status.state == "ready":
            return status
        if launcher.poll() is not None:
            raise ConfigError("the demo's hub did not start; the reason is above")
        time.sleep(0.1)
    raise ConfigError(f"the demo's hub was not ready after {READY_SECONDS} s")


def _outcomes(scenario: Scenario, hub: Hub) -> list[Outcome]:
    began = time.monotonic()
    try:
        rows = scenario(hub)
    except (ScenarioError, httpx.HTTPError, LookupError) as error:
        name = scenario.__name__.replace("_", "-")
        rows = [Outcome(process=name, given="", outcome=f"{type(error).__name__}: {error}", is_right=False)]
    seconds = time.monotonic() - began
    return [row if row.seconds else replace(row, seconds=seconds / len(rows)) for row in rows]


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _stay(hub: Hub, say: Callable[[str], None]) -> None:
    say(f"The pages are at {hub.urls['pages']}; Ctrl-C stops and removes everything.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        say("")
