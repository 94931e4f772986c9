"""A real PostgreSQL for every test process, and a fresh database, built by the migrations, for every test that asks."""

import atexit
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from argon2 import PasswordHasher
from psycopg2 import sql

from deployments.launcher import homes, postgres
from models.kernel import db
from models.kernel.settings import settings
from models.migrations.apply import prepare_roles, upgrade
from models.people import passwords
from tests import memory, order
from tests.launcher.running import RunningHub, running_hub

OWNER_PASSWORD = "owner-password-of-the-tests"
APP_PASSWORD = "application-password-of-the-tests"
TEMPLATE = f"labwire_template_{os.getpid()}"


@dataclass(frozen=True)
class Database:
    """One test's database: the URLs of the application role, of the owner and of the superuser."""

    name: str
    app_url: str
    owner_url: str
    superuser_url: str


@dataclass(frozen=True)
class Server:
    """The PostgreSQL the tests run on: ours, or the one LABWIRE_TEST_SUPERUSER_URL points to."""

    superuser_url: str

    def url(self, user: str, password: str, database: str) -> str:
        parts = db.driver_url(self.superuser_url).set(
            drivername="postgresql", username=user, password=password, database=database
        )
        return parts.render_as_string(hide_password=False)

    def superuser(self, database: str) -> str:
        parts = db.driver_url(self.superuser_url).set(drivername="postgresql", database=database)
        return parts.render_as_string(hide_password=False)

    def run(self, statement: sql.Composed) -> None:
        connection = psycopg2.connect(self.superuser_url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()


def pytest_configure() -> None:
    """The temporary files of the run lie in memory; xdist's processes inherit the place."""
    if folder := memory.move_in():
        atexit.register(memory.move_out, folder)  # after Prefect's harness has removed its own, which it does as late


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins."""
    items.sort(key=lambda item: order.rank(item.nodeid.partition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> order.Together:
    """Which tests go to one process."""
    return order.Together(config, log)


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every process's state, Prefect's included, lies in a folder of the test run; nothing is read from outside it."""
    folder = tmp_path_factory.mktemp("state")
    for name in [name for name in os.environ if name.startswith(("LABWIRE_", "PREFECT_"))]:
        if not name.startswith(("LABWIRE_TEST_", "LABWIRE_REQUIRE_")):
            del os.environ[name]
    (folder / "tmp").mkdir()
    os.environ |= {
        "LABWIRE_STATE_DIR": str(folder),
        "LABWIRE_SECRET_KEY": secrets.token_hex(32),
        "LABWIRE_AUDIT_KEY": secrets.token_hex(32),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
    }
    settings.cache_clear()
    return folder


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[PasswordHasher]:
    """Passwords are hashed at a ten-thousandth of the cost, for most tests sign somebody in; what it yields is ours."""
    with pytest.MonkeyPatch.context() as patch:
        ours = passwords._hasher
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield ours


@pytest.fixture
def real_hashes(quick_hashes: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For what is about the cost of a hash: it is the one the hub pays."""
    monkeypatch.setattr(passwords, "_hasher", quick_hashes)
    passwords._nobodys_hash.cache_clear()
    yield
    passwords._nobodys_hash.cache_clear()


@dataclass(frozen=True)
class Installed(postgres.Cluster):
    """A cluster of the PostgreSQL whose programs lie where LABWIRE_TEST_POSTGRES_BIN says."""

    @property
    def bin(self) -> Path:
        return Path(os.environ["LABWIRE_TEST_POSTGRES_BIN"])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A server of this test process alone, with the roles and a migrated template database."""
    given = os.environ.get("LABWIRE_TEST_SUPERUSER_URL")
    if given:
        yield _with_template(Server(given))
        return
    home = homes.make_throw_away("labwire-test-postgres-")
    try:
        kind = Installed if "LABWIRE_TEST_POSTGRES_BIN" in os.environ else postgres.Cluster
        cluster = kind(home, postgres.free_port())
        postgres.prepare(cluster, durable=False)
        process = subprocess.Popen(
            postgres.command(cluster, durable=False),
            preexec_fn=postgres.become(postgres.server_user()),  # noqa: PLW1509 # prepared before any thread
            cwd="/",
            stderr=subprocess.DEVNULL,
        )
        try:
            postgres.wait_until_ready(cluster.superuser_url)
            yield _with_template(Server(cluster.superuser_url))
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown, which does not wait for clients
            process.wait(10)
    finally:
        homes.remove(home)


def _with_template(server: Server) -> Server:
    template = sql.Identifier(TEMPLATE)
    server.run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(template))
    prepare_roles(server.superuser_url, owner_password=OWNER_PASSWORD, app_password=APP_PASSWORD, database=TEMPLATE)
    upgrade(server.url("labwire_owner", OWNER_PASSWORD, TEMPLATE))
    return server


@pytest.fixture
def database(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A fresh migrated database, to which the settings of this process point."""
    name = f"labwire_{secrets.token_hex(6)}"
    identifier = sql.Identifier(name)
    # Files copied cost a sixth of the computing time of pages logged, the default: it is done for every test.
    copied = sql.SQL("CREATE DATABASE {} OWNER labwire_owner TEMPLATE {} STRATEGY FILE_COPY")
    postgres_server.run(copied.format(identifier, sql.Identifier(TEMPLATE)))
    made = Database(
        name=name,
        app_url=postgres_server.url("labwire_app", APP_PASSWORD, name),
        owner_url=postgres_server.url("labwire_owner", OWNER_PASSWORD, name),
        superuser_url=postgres_server.superuser(name),
    )
    monkeypatch.setenv("LABWIRE_DATABASE_URL", made.app_url)
    monkeypatch.setenv("LABWIRE_DATABASE_OWNER_URL", made.owner_url)
    _forget_engines()
    yield made
    _forget_engines()
    postgres_server.run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server for the flows this process calls itself, with tables of its own in a temporary folder."""
    from prefect.testing.utilities import prefect_test_harness  # takes seconds to import

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session", autouse=True)
def no_server_left() -> Iterator[None]:
    """Prefect starts a server by itself for a task called without one, and leaves it to atexit, which xdist skips."""
    yield
    module = sys.modules.get("prefect.server.api.server")
    if module is not None:
        for server in list(module.SubprocessASGIServer._instances.values()):
            server.stop()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One started hub for all tests of this process; they may kill parts of it, but must leave it ready."""
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def _forget_engines() -> None:
    for cached in (db.engine, db.owner_engine):
        if cached.cache_info().currsize:
            cached().dispose()
        cached.cache_clear()
    settings.cache_clear()
