"""Connections to the database that rested are asked whether they still work before they are used."""

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from models.kernel import db
from models.kernel.tenancy import registry_session
from tests.conftest import Database

pytestmark = pytest.mark.store


def _pid() -> int:
    with registry_session() as session:
        return int(session.scalar(text("SELECT pg_backend_pid()")) or 0)


def _cut_all(database: Database) -> None:
    """As a server that was started again has cut every connection."""
    with psycopg2.connect(database.superuser_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    connection.close()


def test_a_cut_connection_that_rested_is_made_anew(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "RESTED_SECONDS", 0.0)
    before = _pid()
    _cut_all(database)
    assert _pid() != before


def test_one_in_use_is_not_asked(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "RESTED_SECONDS", 60.0)
    pid = _pid()
    asked: list[object] = []
    dialect = db.engine().dialect
    monkeypatch.setattr(dialect, "do_ping", asked.append)
    assert _pid() == pid
    assert asked == []
    monkeypatch.setattr(db, "RESTED_SECONDS", 0.0)
    assert _pid() == pid
    assert len(asked) == 1


def test_one_that_was_cut_in_use_fails_once_and_is_made_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "RESTED_SECONDS", 60.0)
    before = _pid()
    _cut_all(database)
    with pytest.raises(OperationalError):
        _pid()
    assert _pid() != before
