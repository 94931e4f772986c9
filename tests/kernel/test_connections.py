"""Connections to the database that rested are asked whether they still work before they are used."""

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from models.kernel import db
from models.kernel.tenancy import registry_session
from tests.api.helpers import make_user, signed_in
from tests.conftest import Database
from tests.factories import make_tenant

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


def test_who_waits_for_a_row_for_too_long_is_told_to_come_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry_session() as session:
        assert session.scalar(text("SHOW lock_timeout")) == "1min"
    monkeypatch.setattr(db, "OPTIONS", db.OPTIONS.replace("60s", "200ms"))
    db.engine().dispose()
    db.engine.cache_clear()
    tenant_id = make_tenant("alpha")
    make_user(tenant_id, "tech@alpha.example", "technician")
    browser = signed_in("tech@alpha.example")
    patient = {"code": "P1", "family_name": "Doe", "given_names": "Jo", "sex": "female"}
    made = browser.post("/api/v1/patients", json=patient)
    assert made.status_code == 201, made.text
    with psycopg2.connect(database.superuser_url) as holding, holding.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = '5s'")
        cursor.execute("SELECT 1 FROM patient FOR UPDATE")
        changed = patient | {"version": made.json()["version"]}
        answer = browser.put(f"/api/v1/patients/{made.json()['id']}", json=changed)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True), answer.text
    holding.close()
