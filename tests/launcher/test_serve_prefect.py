"""Prefect's SQLite: a failed statement never stops its server, and nobody is refused because somebody else wrote."""

import asyncio
import gc
import time
from pathlib import Path

import aiosqlite
import pytest
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from deployments.launcher.serve_prefect import close_failed_cursors, lock_at_begin

pytestmark = pytest.mark.unit

BUSY_SECONDS = 4


def _engine(database: Path) -> AsyncEngine:
    """As Prefect makes it: transactions begun by hand, a busy time-out."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")

    @event.listens_for(engine.sync_engine, "connect")
    def set_up(connection, record) -> None:  # type: ignore[no-untyped-def]
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        cursor.close()

    return engine


async def _wait_for_the_lock(connection: AsyncConnection) -> None:
    await connection.exec_driver_sql("BEGIN IMMEDIATE")
    await connection.exec_driver_sql("ROLLBACK")


async def _seconds_the_loop_stood_still(engine: AsyncEngine) -> float:
    """Free a failed statement while its connection waits for the lock that another one holds."""
    async with engine.connect() as holder, engine.connect() as waiter:
        await holder.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        await holder.exec_driver_sql("INSERT INTO t VALUES (1)")
        failure: IntegrityError | None = None
        try:
            await waiter.exec_driver_sql("INSERT INTO t VALUES (1)")
        except IntegrityError as error:
            failure = error
        assert failure is not None
        await holder.exec_driver_sql("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(_wait_for_the_lock(waiter))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        del failure
        gc.collect()  # its traceback leads back to this frame
        stood_still = time.monotonic() - began
        await holder.exec_driver_sql("COMMIT")
        await waiting
    await engine.dispose()
    return stood_still


def test_freeing_a_failed_statement_does_not_stop_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(aiosqlite.Cursor, "_execute", aiosqlite.Cursor._execute)  # put back afterwards
    close_failed_cursors()
    assert asyncio.run(_seconds_the_loop_stood_still(_engine(tmp_path / "prefect.db"))) < BUSY_SECONDS / 2


async def _two_that_read_and_then_write(database: Path) -> int:
    """Both transactions begin, both read, then each adds one: what the table says in the end."""
    configuration = AioSqliteConfiguration(f"sqlite+aiosqlite:///{database}")
    engine = await configuration.engine()
    async with engine.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")
        await connection.exec_driver_sql("INSERT INTO t VALUES (0)")

    async def add_one() -> None:
        session = await configuration.session(engine)
        async with session, configuration.begin_transaction(session):
            seen = await session.scalar(text("SELECT n FROM t"))
            await asyncio.sleep(0.3)
            await session.execute(text("UPDATE t SET n = :n"), {"n": seen + 1})

    await asyncio.gather(add_one(), add_one())
    async with engine.connect() as connection:
        total = int((await connection.exec_driver_sql("SELECT n FROM t")).scalar_one())
    await engine.dispose()
    return total


def test_transactions_that_read_and_then_write_wait_their_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    lock_at_begin()
    assert asyncio.run(_two_that_read_and_then_write(tmp_path / "prefect.db")) == 2
