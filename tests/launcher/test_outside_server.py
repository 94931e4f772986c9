"""The whole hub on a PostgreSQL of somebody else's: Debian's 15, the oldest supported; Prefect's tables too."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import psycopg2
import pytest
from psycopg2 import sql

from deployments.demo.scenario import Hub
from deployments.demo.scenarios import SCENARIOS
from deployments.launcher import postgres
from deployments.launcher.environment import read_environment
from deployments.launcher.ports import free_port
from tests.launcher.running import RunningHub, running_hub

pytestmark = [pytest.mark.contract, pytest.mark.slow]

BIN = Path("/usr/lib/postgresql/15/bin")
DIFFICULT = "p@ss:w/rd%#?&=+ ü'"
"""What a password may hold; in an address it stands percent-encoded."""


@dataclass(frozen=True)
class Server:
    """Debian's server, in a folder of the test."""

    port: int
    password: str

    @property
    def superuser_url(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def run(self, statement: sql.Composable, database: str = "postgres") -> list[tuple[object, ...]]:
        connection = psycopg2.connect(self.superuser_url, dbname=database)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            rows: list[tuple[object, ...]] = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows


@pytest.fixture(scope="module")
def debian() -> Iterator[Server]:
    if not (BIN / "postgres").exists():
        pytest.skip(f"there is no PostgreSQL 15 in {BIN} (Debian: apt-get install postgresql-15)")
    user = postgres.server_user()
    become = postgres.become(user)
    with tempfile.TemporaryDirectory(prefix="labwire-postgres-15-") as name:
        folder, server = Path(name), Server(free_port(), "superuser-of-this-test")
        (folder / "password").write_text(server.password)
        if user is not None:
            folder.chmod(0o755)
            os.chown(folder, user.pw_uid, user.pw_gid)
        line: list[str | Path] = [
            BIN / "initdb",
            "-D",
            folder / "data",
            "-U",
            "postgres",
            "--auth=scram-sha-256",
            "--no-sync",
        ]
        line += ["--pwfile", folder / "password", "--encoding=UTF8", "--locale=C.UTF-8"]
        environment = postgres.server_environment()
        subprocess.run(
            line,
            check=True,
            capture_output=True,
            cwd="/",
            env=environment,
            preexec_fn=become,
        )
        options = ["-h", "127.0.0.1", "-p", str(server.port), "-k", "", "-c", "fsync=off"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [BIN / "postgres", "-D", folder / "data", *options],
                cwd="/",
                env=environment,
                stderr=log,
                preexec_fn=become,  # noqa: PLW1509 # calls into libc prepared beforehand
            )
        try:
            postgres.wait_until_ready(server.superuser_url)
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _address(url: str, scheme: str) -> str:
    """The same role and database in another spelling, with the difficult password."""
    parts = urlsplit(url)
    return f"{scheme}://{parts.username}:{quote(DIFFICULT, safe='')}@127.0.0.1:{parts.port}{parts.path}"


@pytest.fixture(scope="module")
def hub(debian: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    root = tmp_path_factory.mktemp("outside")
    made = RunningHub(root / "nowhere", root).run(
        "database", "create", "--superuser-url", debian.superuser_url, "--json"
    )
    assert made.returncode == 0, made.stderr
    settings = {}
    schemes = {"DATABASE_URL": "postgres", "DATABASE_OWNER_URL": "postgresql", "PREFECT_DATABASE_URL": "postgres"}
    for name, url in json.loads(made.stdout).items():
        role, password = sql.Identifier(urlsplit(url).username), sql.Literal(DIFFICULT)
        debian.run(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))
        settings[name] = _address(url, schemes[name.removeprefix("LABWIRE_")])
    with running_hub(root, settings, ("--demo",)) as running:
        yield running
        assert running.stop() == 0


def _tables(debian: Server, database: str) -> set[object]:
    rows = debian.run(sql.SQL("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"), database)
    return {name for (name,) in rows}


def test_the_demos_scenarios_come_out_right(hub: RunningHub) -> None:
    urls = hub.status()["urls"]
    with httpx.Client(base_url=urls["pages"], timeout=30, trust_env=False) as api, hub.prefect() as prefect:
        settings = read_environment(hub.folder)
        demo = Hub(api=api, prefect=prefect, urls=urls, settings=settings, tell=print, state_dir=hub.state_dir)
        outcomes = [outcome for scenario in SCENARIOS for outcome in scenario(demo)]
    assert [outcome for outcome in outcomes if not outcome.is_right] == []


def test_everything_lies_on_the_outside_server(hub: RunningHub, debian: Server) -> None:
    assert "postgres" not in {part["name"] for part in hub.status()["parts"]}
    assert {"assignment", "result", "audit_event"} <= _tables(debian, "labwire")
    assert {"flow_run", "work_pool", "events"} <= _tables(debian, "labwire_prefect")
    assert list(hub.folder.prefect.glob("*.db")) == [], "Prefect's SQLite file is not made"
    assert not (hub.state_dir / "postgres").exists()


def test_no_password_is_written_to_a_file(hub: RunningHub) -> None:
    spellings = (DIFFICULT, quote(DIFFICULT, safe=""), quote(DIFFICULT))
    files = [*hub.folder.logs.glob("*.log"), hub.folder.environment, hub.folder.status, hub.state_dir.parent / "up.out"]
    for file in files:
        assert not any(spelling in file.read_text(errors="replace") for spelling in spellings), file.name


def test_the_hub_recovers_when_its_connections_are_cut(hub: RunningHub, debian: Server) -> None:
    debian.run(sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'labwire%'"))
    hub.wait_for_state(hub.start_run(), "COMPLETED")
    assert hub.status()["ready"]
