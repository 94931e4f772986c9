"""What is said of somebody else's database before anything starts: one line, without the password."""

import re

import psycopg2
import pytest
from psycopg2 import sql
from pydantic import SecretStr

from deployments.launcher.environment import prefect_server_environment
from deployments.launcher.files import StateFolder
from deployments.launcher.outside import check_outside, plain_url, prefect_url
from deployments.launcher.ports import free_port
from deployments.launcher.up import Choices, make_plan, process_settings
from models.kernel.errors import ConfigError
from models.kernel.settings import Settings
from tests.conftest import APP_PASSWORD, Database

pytestmark = pytest.mark.contract

V = "LABWIRE_PREFECT_DATABASE_URL"


def _options(**urls: str) -> Settings:
    return Settings(_env_file=None).model_copy(update={name: SecretStr(url) for name, url in urls.items()})


def _complaint(options: Settings) -> str:
    with pytest.raises(ConfigError) as raised:
        check_outside(options)
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.fixture
def named(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database of the test; the variables that name it are taken back, each test names what it wants."""
    for name in ("LABWIRE_DATABASE_URL", "LABWIRE_DATABASE_OWNER_URL"):
        monkeypatch.delenv(name)
    return database


def test_a_database_that_lets_us_in_is_fine(named: Database) -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2"):
        url = named.app_url.replace("postgresql://", f"{scheme}://")
        check_outside(_options(database_url=url, database_owner_url=named.owner_url))
    check_outside(_options())


def test_without_the_extension_prefects_database_is_refused(named: Database) -> None:
    """The embedded server has no extensions at all; elsewhere the role may lack the right to make it."""
    if _is_available(named):
        statement = sql.SQL("REVOKE CREATE ON DATABASE {} FROM PUBLIC, labwire_app").format(sql.Identifier(named.name))
        _run(named, statement)
    text = _complaint(_options(prefect_database_url=named.app_url))
    assert V in text
    assert "CREATE EXTENSION pg_trgm" in text
    assert APP_PASSWORD not in text


def test_with_the_extension_it_is_taken(named: Database) -> None:
    if not _is_available(named):
        pytest.skip("the embedded PostgreSQL has no extensions; tests/launcher/test_outside_server.py uses Debian's")
    _run(named, sql.SQL("CREATE EXTENSION pg_trgm"))
    check_outside(_options(prefect_database_url=named.app_url))


def test_a_server_that_is_down_and_a_wrong_password_are_said_without_the_password(named: Database) -> None:
    down = f"postgresql://labwire_app:hidden-word@127.0.0.1:{free_port()}/labwire"
    for name in ("database_url", "prefect_database_url"):
        text = _complaint(_options(**{name: down}))
        assert f"LABWIRE_{name.upper()}" in text
        assert "refused" in text
        assert "hidden-word" not in text
    text = _complaint(_options(database_url=named.app_url.replace(APP_PASSWORD, "hidden-word")))
    assert "password authentication failed" in text
    assert "hidden-word" not in text


@pytest.mark.parametrize("password", ["p@hidden", "p/hidden@x", "p#hidden", "p?hidden", "p%zzhidden"])
def test_a_password_that_is_not_percent_encoded_is_said_without_quoting_it(password: str) -> None:
    text = _complaint(_options(database_url=f"postgresql://somebody:{password}@127.0.0.1/labwire"))
    assert re.search("percent-encoded|not readable", text)
    assert "hidden" not in text


def test_prefects_address_is_rewritten_for_its_driver(tmp_path: object) -> None:
    secret = "p%40ss%3Aw%2Frd%25%23%3F"
    for scheme in ("postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg"):
        url = f"{scheme}://u:{secret}@h:1/prefect?sslmode=require&application_name=labwire"
        assert prefect_url(url) == f"postgresql+asyncpg://u:{secret}@h:1/prefect?ssl=require"
    assert prefect_url("postgresql://u:p@h/prefect?connect_timeout=3") == "postgresql+asyncpg://u:p@h/prefect"
    assert prefect_url("sqlite+aiosqlite:////x/y.db") == "sqlite+aiosqlite:////x/y.db"
    for wrong, said in (("mysql://u:p@h/x", "no PostgreSQL address"), ("postgresql://h/x?options=a", "options")):
        with pytest.raises(ConfigError, match=f"{V}.*{said}"):
            prefect_url(wrong)
    assert plain_url(V, "postgres://u:p@h/x") == "postgresql://u:p@h/x"


def test_the_owners_address_alone_is_refused(named: Database) -> None:
    assert "LABWIRE_DATABASE_URL is not" in _complaint(_options(database_owner_url=named.owner_url))


def test_the_servers_part_gets_the_rewritten_address(named: Database, tmp_path_factory: pytest.TempPathFactory) -> None:
    options = _options(prefect_database_url="postgres://u:p%40@h/prefect?sslmode=disable")
    folder = StateFolder(tmp_path_factory.mktemp("state"))
    given = prefect_server_environment(folder, options, "a:b")
    assert given["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://u:p%40@h/prefect?ssl=disable"


def test_an_earlier_embedded_servers_addresses_are_forgotten_for_an_outside_one(
    named: Database, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the application's address is given: the migrations must not turn to a server that is not running."""
    folder = StateFolder(tmp_path_factory.mktemp("state"))
    folder.create()
    old = "postgresql://labwire_owner:x@127.0.0.1:1/labwire"
    folder.environment.write_text(f"LABWIRE_DATABASE_OWNER_URL='{old}'\nLABWIRE_DATABASE_URL='{old}'\n")
    monkeypatch.setenv("LABWIRE_DATABASE_URL", named.app_url)
    monkeypatch.setenv("LABWIRE_API_PORT", str(free_port()))
    monkeypatch.setenv("LABWIRE_PREFECT_PORT", str(free_port()))
    plan = make_plan(folder, process_settings(), Choices())
    plan.api_socket.close()
    assert plan.cluster is None
    assert "LABWIRE_DATABASE" not in folder.environment.read_text()


def _is_available(named: Database) -> bool:
    return bool(_run(named, sql.SQL("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")))


def _run(named: Database, statement: sql.Composable) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(named.superuser_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[tuple[object, ...]] = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows
