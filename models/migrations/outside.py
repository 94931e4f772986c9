"""Roles and databases on a PostgreSQL of somebody else's: made once, by its superuser."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from models.kernel.errors import ConfigError, ConflictError
from models.migrations.apply import prepare_roles

OLDEST = 150000
"""PostgreSQL 15, in its own counting."""
OURS = ("labwire_owner", "labwire_app")
PREFECT = "labwire_prefect"
"""Role and database of the Prefect server's own tables."""


@dataclass(frozen=True)
class Urls:
    """The addresses the hub is to be given; `prefect` is empty where no database was made for it."""

    app: str
    owner: str
    prefect: str


def create(superuser_url: str, *, database: str, with_prefect: bool, new_passwords: bool) -> Urls:
    """Make what is missing and return the addresses; ConflictError where roles exist and may not get new passwords."""
    with _connected(superuser_url) as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
        number, version = cursor.fetchone()
        if number < OLDEST:
            raise ConfigError(f"PostgreSQL 15 or newer is needed; this server is {version}")
        wanted = [*OURS, PREFECT] if with_prefect else [*OURS]
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) ORDER BY 1", (wanted,))
        there = [name for (name,) in cursor.fetchall()]
        cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
        has_trgm = bool(cursor.fetchone()[0])
    if with_prefect and not has_trgm:
        raise ConfigError("Prefect needs the extension pg_trgm, which this server does not have among its own")
    if there and not new_passwords:
        raise ConflictError(f"roles exist already: {', '.join(there)}; new passwords would lock out whoever uses them")
    owner, app, prefect = (secrets.token_urlsafe(24) for _ in range(3))
    prepare_roles(superuser_url, owner_password=owner, app_password=app, database=database)
    if with_prefect:
        _prepare_prefect(superuser_url, prefect)
    return Urls(
        app=_url(superuser_url, "labwire_app", app, database),
        owner=_url(superuser_url, "labwire_owner", owner, database),
        prefect=_url(superuser_url, PREFECT, prefect, PREFECT) if with_prefect else "",
    )


def _prepare_prefect(superuser_url: str, password: str) -> None:
    role = sql.Identifier(PREFECT)
    with _connected(superuser_url) as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (PREFECT,))
        verb = sql.SQL("CREATE" if cursor.fetchone() is None else "ALTER")
        cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, sql.Literal(password)))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (PREFECT,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(role, role))
            cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))
    with _connected(_at_database(superuser_url, PREFECT)) as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    try:
        connection = psycopg2.connect(url)
    except psycopg2.OperationalError as error:
        raise ConfigError(f"PostgreSQL does not let us in: {str(error).strip()}") from None
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _url(superuser_url: str, role: str, password: str, database: str) -> str:
    parts = urlsplit(superuser_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(("postgresql", f"{role}:{quote(password)}@{place}", f"/{database}", parts.query, ""))


def _at_database(superuser_url: str, database: str) -> str:
    return urlunsplit(urlsplit(superuser_url)._replace(path=f"/{database}"))
