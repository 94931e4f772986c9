"""Prefect's SQLite: a failed statement never stops its server, and nobody is refused because somebody else wrote."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import aiosqlite
import pytest
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from deployments.launcher.serve_prefect import close_failed_cursors, lock_at_begin

pytestmark = pytest.mark.unit

BUSY_SECONDS = 20
"""No test waits for it to pass."""


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


async def _what_happened(engine: AsyncEngine) -> list[str]:
    """Free a failed statement while its connection waits for the lock that another one holds; what came after what."""
    happened = []
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

        async def wait_for_the_lock() -> None:
            try:
                await waiter.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                happened.append(str(error.orig))
            else:
                happened.append("the waiter has the lock")
                await waiter.exec_driver_sql("ROLLBACK")

        waiting = asyncio.create_task(wait_for_the_lock())
        await asyncio.sleep(0.3)
        del failure
        gc.collect()  # its traceback leads back to this frame
        happened.append("the holder commits")
        await holder.exec_driver_sql("COMMIT")
        await waiting
    await engine.dispose()
    return happened


@pytest.fixture
def small_heap() -> Iterator[None]:
    """What the tests before have left is not walked by a collection: that takes seconds where they were many."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("small_heap")
def test_freeing_a_failed_statement_does_not_stop_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If it stood still, the holder could not commit before SQLite gave the waiter up: "database is locked"."""
    monkeypatch.setattr(aiosqlite.Cursor, "_execute", aiosqlite.Cursor._execute)  # put back afterwards
    close_failed_cursors()
    happened = asyncio.run(_what_happened(_engine(tmp_path / "prefect.db")))
    assert happened == ["the holder commits", "the waiter has the lock"]


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
