"""A hub started by the real command in a folder of the test, and what the tests ask of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deployments.launcher import homes, postgres
from deployments.launcher.demo import PASSWORD_NAME
from deployments.launcher.environment import read_environment
from deployments.launcher.files import StateFolder
from deployments.launcher.parts import ROOT
from deployments.launcher.ports import free_port
from deployments.launcher.process import child_setup, is_alive, members
from deployments.launcher.status import read_status
from deployments.worker.rest import prefect_client

COMMAND = [sys.executable, "-m", "deployments.cli.main"]
PATIENCE_SECONDS = 180
"""For what takes a few seconds: a busy machine is no failure."""


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The condition's first true value; AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return value


@dataclass
class RunningHub:
    """One state folder with its ports; `launcher` is the process of `labwire up`."""

    state_dir: Path
    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    launcher: subprocess.Popen[str] | None = None
    options: tuple[str, ...] = ()
    """Of `labwire up`."""

    def __post_init__(self) -> None:
        self.settings = {
            "LABWIRE_API_PORT": str(free_port()),
            "LABWIRE_PREFECT_PORT": str(free_port()),
        } | self.settings

    @property
    def folder(self) -> StateFolder:
        return StateFolder(self.state_dir)

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LABWIRE_", "PREFECT_"))}
        return clean | self.settings | {"LABWIRE_STATE_DIR": str(self.state_dir), "HOME": str(self.home)}

    @property
    def session(self) -> str:
        status = read_status(self.folder)
        assert status is not None
        return status.session

    def run(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """One `labwire` command, to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            check=False,
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def start(self) -> float:
        """`labwire up`, until it says that it is ready; the seconds that took."""
        began = time.monotonic()
        self.launcher = subprocess.Popen(
            [*COMMAND, "up", *self.options],
            env=self.environment,
            cwd=ROOT,
            stdout=(self.state_dir.parent / "up.out").open("a"),
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=child_setup(signal.SIGTERM),  # noqa: PLW1509 # calls into libc prepared beforehand
        )
        wait_for(self._is_ready_or_dead, PATIENCE_SECONDS, "ready")
        assert self.launcher.poll() is None, (self.state_dir.parent / "up.out").read_text()
        return time.monotonic() - began

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The launcher's exit code after the signal."""
        assert self.launcher is not None
        self.launcher.send_signal(number)
        return self.launcher.wait(60)

    def status(self) -> dict[str, Any]:
        """What `labwire status --json` answers."""
        content: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return content

    def part(self, name: str) -> dict[str, Any]:
        """The launcher's own record of one part, without asking the part."""
        status = read_status(self.folder)
        assert status is not None
        return next(vars(part) for part in status.parts if part.name == name)

    def prefect(self) -> httpx.Client:
        """A client of the Prefect server, logged in."""
        url = f"http://127.0.0.1:{self.settings['LABWIRE_PREFECT_PORT']}/api"
        return prefect_client(url, read_environment(self.folder)["LABWIRE_PREFECT_AUTH_STRING"])

    @contextmanager
    def signed_in(self, name: str) -> Iterator[httpx.Client]:
        """A client of the JSON API, signed in as somebody of the demo's main laboratory."""
        url = f"http://127.0.0.1:{self.settings['LABWIRE_API_PORT']}/api/v1"
        given = {"email": f"{name}@lagoon.example", "password": read_environment(self.folder)[PASSWORD_NAME]}
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            answer = client.post("/sessions", json=given).raise_for_status()
            client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
            yield client

    def start_run(self, flow: str = "check-stand-up", **parameters: Any) -> str:
        """Ask for a run of a flow, the trivial one where none is named; its id."""
        with self.prefect() as client:
            found = client.get(f"/deployments/name/{flow}/{flow}").raise_for_status().json()
            path = f"/deployments/{found['id']}/create_flow_run"
            run_id: str = client.post(path, json={"parameters": parameters}).raise_for_status().json()["id"]
            return run_id

    def run_state(self, run_id: str) -> tuple[str, str]:
        """A run's state and its message."""
        with self.prefect() as client:
            state = client.get(f"/flow_runs/{run_id}").raise_for_status().json()["state"]
            return state["type"], state["message"] or ""

    def wait_for_state(self, run_id: str, wanted: str, seconds: float = PATIENCE_SECONDS) -> str:
        """The message of the run's state once it is the wanted one."""
        wait_for(lambda: self.run_state(run_id)[0] == wanted, seconds, f"run {wanted}")
        return self.run_state(run_id)[1]

    def processes(self) -> list[int]:
        """Everything of the present session that is still there, PostgreSQL included."""
        known = [part.pid for part in (read_status(self.folder) or _none()).parts if part.pid and is_alive(part.pid)]
        return sorted({*members(self.session), *known, *self.postgres_processes()})

    def postgres_processes(self) -> list[int]:
        """Processes whose working folder is this hub's cluster."""
        marker = self.state_dir / "postgres-home"
        home = Path(marker.read_text().strip()) if marker.exists() else self.state_dir / "postgres"
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").resolve() == (home / "data").resolve():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def _is_ready_or_dead(self) -> bool:
        assert self.launcher is not None
        status = read_status(self.folder)
        is_ours = status is not None and status.pid == self.launcher.pid
        return self.launcher.poll() is not None or (is_ours and status is not None and status.state == "ready")


@contextmanager
def running_hub(
    root: Path, settings: dict[str, str] | None = None, options: tuple[str, ...] = ()
) -> Iterator[RunningHub]:
    """A hub below this folder, with the demo's data; at the end it is stopped and its database removed."""
    _remove_left_databases()
    (root / "home").mkdir()
    hub = RunningHub(root / "state", root / "home", settings or {}, options=options)
    try:
        hub.start()
        yield hub
    finally:
        if hub.launcher is not None and hub.launcher.poll() is None:
            hub.stop()
        if (hub.state_dir / "postgres-home").exists():  # as root it lies outside the state folder
            homes.remove(postgres.default_home(hub.state_dir))


def _remove_left_databases() -> None:
    """Those of earlier test runs that were killed: they lie outside pytest's own folders, which pytest removes."""
    for home, state_dir in homes.kept():
        if not any(part.startswith("pytest-of-") for part in state_dir.parts):
            continue
        status = read_status(StateFolder(state_dir))
        if status is None or not is_alive(status.pid):
            homes.remove(home)


def _none() -> Any:
    raise AssertionError("no launcher has written its status here")
