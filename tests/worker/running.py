"""A Prefect server and workers of the tests: real processes, driven over REST."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deployments.launcher.parts import ROOT
from deployments.launcher.ports import free_port
from deployments.launcher.process import child_setup

SAMPLES = "tests.worker.samples"
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def wait_for(condition: Callable[[], Any], seconds: float, what: str, pause: float = 0.05) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)
    return value


@dataclass
class Server:
    """A Prefect server in a folder of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("LABWIRE_", "PREFECT_"))}
        return clean | {
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_HOME": str(self.folder),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "0.3",
            "PREFECT_WORKER_PREFETCH_SECONDS": "0",
            "DO_NOT_TRACK": "1",
            "GX_ANALYTICS_ENABLED": "false",
            "TMPDIR": str(self.folder),
            "LABWIRE_STATE_DIR": str(self.folder),
            "LABWIRE_WARM_PACKAGES": SAMPLES,
            "PYTHONPATH": str(ROOT),
        }

    def start(self) -> None:
        (self.folder / "logs").mkdir(exist_ok=True)
        line = [
            sys.executable,
            "-m",
            "deployments.launcher.serve_prefect",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen(
            line,
            env=self.environment,
            cwd=ROOT,
            stdout=(self.folder / "logs" / "prefect.log").open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=child_setup(),  # noqa: PLW1509 # calls into libc prepared beforehand
        )
        wait_for(self._answers, 120, "the Prefect server")

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(30)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/api/health", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


@dataclass
class Pool:
    """One work pool, its worker, and runs on it."""

    server: Server
    kind: str
    name: str
    settings: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.rest = httpx.Client(base_url=f"http://127.0.0.1:{self.server.port}/api", timeout=60, trust_env=False)
        self._deployments: dict[str, str] = {}

    @property
    def log(self) -> Path:
        return self.server.folder / "logs" / f"{self.name}.log"

    def start_worker(self) -> None:
        """Start it and wait until it says so."""
        line = [sys.executable, "-m", "prefect", "worker", "start", "--pool", self.name, "--type", self.kind]
        before = self.log.stat().st_size if self.log.exists() else 0
        self.process = subprocess.Popen(
            [*line, "--name", self.name, "--install-policy", "never", *self.arguments],
            env=self.server.environment | self.settings,
            cwd=ROOT,
            stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT,
            preexec_fn=child_setup(),  # noqa: PLW1509 # calls into libc prepared beforehand
        )
        wait_for(lambda: b"started!" in self.log.read_bytes()[before:], 60, "the worker")

    def stop_worker(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def deployment(self, entrypoint: str, **more: Any) -> str:
        """The id of a deployment of this entrypoint on this pool."""
        key = json.dumps([entrypoint, more], sort_keys=True)
        if key not in self._deployments:
            function = entrypoint.rpartition(".")[2].rpartition(":")[2]
            flow = self._post("/flows/", {"name": function.replace("_", "-")})
            name = f"{function}-{self.name}-{len(self._deployments)}"
            body = {"name": name, "flow_id": flow["id"], "work_pool_name": self.name, "entrypoint": entrypoint}
            self._deployments[key] = self._post("/deployments/", body | more)["id"]
        return self._deployments[key]

    def start(self, entrypoint: str, parameters: dict[str, Any] | None = None, **more: Any) -> str:
        """Ask for a run; its id. `more` goes into the deployment."""
        path = f"/deployments/{self.deployment(entrypoint, **more)}/create_flow_run"
        return str(self._post(path, {"parameters": parameters or {}})["id"])

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.rest.get(f"/flow_runs/{run_id}").raise_for_status().json())

    def finished(self, run_id: str, seconds: float = 60, pause: float = 0.05) -> tuple[str, str]:
        """The final state and its message."""

        def ended() -> dict[str, Any] | None:
            found = self.run(run_id)
            return found if found["state_type"] in FINAL else None

        run = wait_for(ended, seconds, "the run's end", pause)
        return run["state_type"], run["state"]["message"] or ""

    def told_to_end(self, run_id: str) -> None:
        """Cancel a run as the server's page does."""
        cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        self.rest.post(f"/flow_runs/{run_id}/set_state", json=cancelling).raise_for_status()

    def queue(self, name: str, priority: int) -> None:
        """Make a queue in the pool, which must be there."""
        self._post(f"/work_pools/{self.name}/queues", {"name": name, "priority": priority})

    def told(self, entrypoint: str, parameters: dict[str, Any] | None = None, **more: Any) -> Any:
        """What a run that must complete says in its message, as JSON."""
        kind, message = self.finished(self.start(entrypoint, parameters, **more))
        assert kind == "COMPLETED", (kind, message, self.log.read_text()[-2000:])
        return json.loads(message)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(self.rest.post(path, json=body).raise_for_status().json())
