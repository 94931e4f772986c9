"""A PostgreSQL of the benchmark's own: embedded, durable as in operation, migrated, thrown away afterwards."""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deployments.launcher import homes, postgres
from deployments.launcher.ports import free_port
from models.kernel import db
from models.kernel.settings import settings
from models.migrations.apply import prepare_roles, upgrade


@dataclass(frozen=True, slots=True)
class Fresh:
    """What the server's program calls itself, the address of its superuser, and its first process."""

    version: str
    superuser_url: str
    pid: int

    def __str__(self) -> str:
        return self.version


@contextmanager
def fresh_database() -> Iterator[Fresh]:
    """The process's settings point to a new database while the block runs."""
    home = homes.make_throw_away("labwire-benchmark-")
    before = dict(os.environ)
    try:
        cluster = postgres.Cluster(home / "postgres", free_port())
        postgres.prepare(cluster, durable=True)
        process = subprocess.Popen(
            postgres.command(cluster, durable=True),
            preexec_fn=postgres.become(postgres.server_user()),  # noqa: PLW1509  # no thread runs yet
            cwd="/",
            env=postgres.server_environment(),
            stderr=subprocess.DEVNULL,
        )
        try:
            postgres.wait_until_ready(cluster.superuser_url)
            owner, app = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
            prepare_roles(cluster.superuser_url, owner_password=owner, app_password=app)
            owner_url = cluster.url("labwire_owner", owner)
            upgrade(owner_url)
            _point_to(home, owner_url=owner_url, app_url=cluster.url("labwire_app", app))
            yield Fresh(process_version(cluster), cluster.superuser_url, process.pid)
            db.engine().dispose()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    finally:
        os.environ.clear()
        os.environ.update(before)
        homes.remove(home)


def process_version(cluster: postgres.Cluster) -> str:
    """What the server's program calls itself."""
    line = [str(cluster.bin / "postgres"), "--version"]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    return str(done.stdout).strip()


def _point_to(home: Path, *, owner_url: str, app_url: str) -> None:
    for name in [name for name in os.environ if name.startswith(("LABWIRE_", "PREFECT_"))]:
        del os.environ[name]
    state = home / "state"
    (state / "tmp").mkdir(parents=True)
    os.environ |= {
        "LABWIRE_STATE_DIR": str(state),
        "LABWIRE_SECRET_KEY": secrets.token_hex(32),
        "LABWIRE_AUDIT_KEY": secrets.token_hex(32),
        "LABWIRE_DATABASE_URL": app_url,
        "LABWIRE_DATABASE_OWNER_URL": owner_url,
        "PREFECT_HOME": str(state / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "TMPDIR": str(state / "tmp"),
    }
    settings.cache_clear()
    for cached in (db.engine, db.owner_engine):
        cached.cache_clear()
