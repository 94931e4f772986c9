"""`labwire database create` on a PostgreSQL of one's own."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from deployments.launcher import postgres
from models.migrations.apply import upgrade
from tests.launcher.running import COMMAND

pytestmark = pytest.mark.contract


@pytest.fixture
def superuser_url() -> Iterator[str]:
    """A server nobody else uses: roles belong to the whole server."""
    home = Path(tempfile.mkdtemp(prefix="labwire-test-outside-"))
    cluster = postgres.Cluster(home, postgres.free_port())
    postgres.prepare(cluster, durable=False)
    process = subprocess.Popen(
        postgres.command(cluster, durable=False),
        preexec_fn=postgres.become(postgres.server_user()),  # noqa: PLW1509 # prepared before any thread
        cwd="/",
        stderr=subprocess.DEVNULL,
    )
    try:
        postgres.wait_until_ready(cluster.superuser_url)
        yield cluster.superuser_url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)


def _create(superuser_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LABWIRE_SUPERUSER_URL": superuser_url}
    line = [*COMMAND, "database", "create", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=60)


def _who(url: str) -> tuple[str, str]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user, current_database()")
            found: tuple[str, str] = cursor.fetchone()
            return found
    finally:
        connection.close()


def test_the_printed_addresses_work_and_the_schema_can_be_made(superuser_url: str) -> None:
    done = _create(superuser_url, "--no-prefect", "--name", "clinic", "--json")
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)
    upgrade(settings["LABWIRE_DATABASE_OWNER_URL"])
    assert _who(settings["LABWIRE_DATABASE_URL"]) == ("labwire_app", "clinic")
    assert _who(settings["LABWIRE_DATABASE_OWNER_URL"]) == ("labwire_owner", "clinic")


def test_roles_in_use_keep_their_passwords_unless_told(superuser_url: str) -> None:
    first = json.loads(_create(superuser_url, "--no-prefect", "--json").stdout)["LABWIRE_DATABASE_URL"]
    refused = _create(superuser_url, "--no-prefect")
    assert refused.returncode == 1
    assert "labwire_app" in refused.stderr
    assert _who(first) == ("labwire_app", "labwire")
    second = json.loads(_create(superuser_url, "--no-prefect", "--new-passwords", "--json").stdout)
    assert _who(second["LABWIRE_DATABASE_URL"]) == ("labwire_app", "labwire")
    with pytest.raises(psycopg2.OperationalError, match="password"):
        _who(first)


def test_a_server_without_pg_trgm_is_refused_before_anything_is_made(superuser_url: str) -> None:
    done = _create(superuser_url)
    assert done.returncode == 1
    assert "pg_trgm" in done.stderr
    assert _create(superuser_url, "--no-prefect").returncode == 0


def test_a_wrong_address_is_one_line() -> None:
    done = _create("postgresql://postgres:wrong@127.0.0.1:1/postgres")
    assert done.returncode == 1
    assert done.stderr.startswith("labwire: PostgreSQL does not let us in")
    assert "Traceback" not in done.stderr
