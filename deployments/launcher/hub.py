"""The table of parts: what `labwire up` runs, in what order, and how each shows that it is ready.

A new part is one more entry of `hub_parts` or, for the demo alone, of `demo.demo_parts`.
"""

import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from deployments.launcher import postgres, probes
from deployments.launcher.demo import DemoPorts
from deployments.launcher.environment import prefect_server_environment
from deployments.launcher.files import StateFolder
from deployments.launcher.migrate import SUPERUSER_VARIABLE
from deployments.launcher.parts import Part, python_module
from models.kernel.settings import Settings

COUNTS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""With it every API process answers for all of them: each adds the others' files to its own."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the parts are made from."""

    folder: StateFolder
    options: Settings
    cluster: postgres.Cluster | None
    """The embedded server, prepared; None where the database is somebody else's."""
    auth: str
    """The Prefect server's `user:password`."""
    api_socket: socket.socket
    durable: bool = True
    demo_ports: DemoPorts | None = None
    """Where the simulated outside systems listen; None outside the demo."""

    @property
    def prefect_url(self) -> str:
        given = self.options.prefect_api_url.rstrip("/").removesuffix("/api")
        return given or f"http://127.0.0.1:{self.options.prefect_port}"

    @property
    def api_url(self) -> str:
        host, port = self.api_socket.getsockname()[:2]
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 # a comparison


def hub_parts(plan: Plan) -> list[Part]:
    """Every part of the hub itself."""
    database = ("postgres",) if plan.cluster else ()
    parts = [
        _migrations(plan, database),
        *([] if plan.options.prefect_api_url else [_prefect_server(plan)]),
        *_api_processes(plan),
        _deployments(plan),
        _worker(plan),
    ]
    return [_postgres(plan.cluster, durable=plan.durable), *parts] if plan.cluster else parts


def urls(plan: Plan) -> dict[str, str]:
    """The addresses people open, by what they find there."""
    found = {"pages": plan.api_url, "API": f"{plan.api_url}/openapi.json", "Prefect UI": plan.prefect_url}
    return found | ({"mailbox": plan.demo_ports.mailbox_url} if plan.demo_ports else {})


def _postgres(cluster: postgres.Cluster, *, durable: bool) -> Part:
    return Part(
        name="postgres",
        command=postgres.command(cluster, durable=durable),
        environment=postgres.server_environment(),
        is_environment_whole=True,
        before=lambda: postgres.prepare(cluster, durable=durable),
        child_setup=postgres.become(postgres.server_user()),
        is_ready=probes.database_accepts(cluster.superuser_url),
        stop_signal=signal.SIGINT,  # a fast shutdown: clients are sent away, the data is written
        stop_seconds=30,
        port=cluster.port,
        working_dir=Path("/"),
    )


def _migrations(plan: Plan, needs: tuple[str, ...]) -> Part:
    return Part(
        name="migrations",
        command=python_module("deployments.launcher.migrate"),
        environment={SUPERUSER_VARIABLE: plan.cluster.superuser_url} if plan.cluster else {},
        needs=needs,
        is_step=True,
        ready_seconds=1800,
    )


def _prefect_server(plan: Plan) -> Part:
    port = plan.options.prefect_port
    return Part(
        name="prefect",
        command=python_module("deployments.launcher.serve_prefect", "--host", "127.0.0.1", "--port", str(port)),
        environment=prefect_server_environment(plan.folder, plan.options, plan.auth),
        is_ready=probes.answers(f"{plan.prefect_url}/api/health", plan.auth),
        url=plan.prefect_url,
        port=port,
        ready_seconds=120,
    )


def _api_processes(plan: Plan) -> list[Part]:
    count = plan.options.api_processes
    descriptor = plan.api_socket.fileno()
    names = ["api"] if count == 1 else [f"api-{number}" for number in range(1, count + 1)]
    return [
        Part(
            name=name,
            command=python_module("deployments.launcher.serve_api", str(descriptor), name),
            environment={} if count == 1 else {COUNTS_VARIABLE: str(plan.folder.metrics)},
            pass_fds=(descriptor,),
            needs=("migrations",),
            is_ready=probes.answers(f"{plan.api_url}/readyz"),
            url=plan.api_url,
            port=plan.options.api_port,
            stop_seconds=15,
        )
        for name in names
    ]


def _deployments(plan: Plan) -> Part:
    return Part(
        name="deployments",
        command=python_module("deployments.worker.register"),
        needs=() if plan.options.prefect_api_url else ("prefect",),
        is_step=True,
        ready_seconds=180,
    )


def _worker(plan: Plan) -> Part:
    pool = plan.options.work_pool
    return Part(
        name="worker",
        command=python_module("deployments.worker.run"),
        needs=("migrations",) if plan.options.prefect_api_url else ("prefect", "migrations"),
        is_ready=probes.worker_reports(f"{plan.prefect_url}/api", plan.auth, pool),
        stop_seconds=plan.options.worker_drain_seconds + 15,
        ready_seconds=120,
    )
