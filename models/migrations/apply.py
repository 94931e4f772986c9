"""Roles and schema: what has to exist before the hub can run. Safe to repeat."""

from functools import lru_cache
from pathlib import Path

import psycopg2
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg2 import sql

FOLDER = Path(__file__).parent
DATABASE = "labwire"


def prepare_roles(superuser_url: str, *, owner_password: str, app_password: str, database: str = DATABASE) -> None:
    """Create the three roles with these passwords and the database owned by labwire_owner, where they are missing."""
    connection = psycopg2.connect(superuser_url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            passwords = {"owner_password": owner_password, "app_password": app_password}
            cursor.execute((FOLDER / "roles.sql").read_text(), passwords)
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
            if cursor.fetchone() is None:
                name = sql.Identifier(database)
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER labwire_owner TEMPLATE template0").format(name))
                cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
                cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO labwire_app").format(name))
    finally:
        connection.close()


def upgrade(owner_url: str, revision: str = "head") -> None:
    """Bring the schema to `revision`, as the owner, with lock and statement time-outs."""
    command.upgrade(_config(owner_url), revision)


@lru_cache(maxsize=1)
def head() -> str | None:
    """The newest revision this version of the code knows."""
    return ScriptDirectory(str(FOLDER)).get_current_head()


def _config(owner_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["owner_url"] = owner_url
    return config
