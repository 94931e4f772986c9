"""Become `prefect server start`, repaired for SQLite and quicker: `python -m deployments.launcher.serve_prefect ...`.

The repairs leave a server on PostgreSQL as it is; docs/decisions/0004 says how they were found, 0007 what a run costs.
"""

import importlib
import json
import runpy
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any

import aiosqlite
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.utilities.schema_tools import validation
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

from deployments.launcher.garbage import collect_rarely


def close_failed_cursors() -> None:
    """From now on a cursor whose statement failed is closed at once, on its connection's own thread.

    SQLAlchemy leaves it open. It is then freed with the error's traceback, on the event loop, which waits for whatever
    the connection is doing by that time: if that is waiting for the write lock, whose holder needs the event loop, the
    whole server stands still until SQLite's busy time-out of 60 s.
    """
    run_on_thread: Callable[..., Awaitable[Any]] = aiosqlite.Cursor._execute

    async def run_and_close_if_failed(self: aiosqlite.Cursor, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return await run_on_thread(self, fn, *args, **kwargs)
        except sqlite3.Error:
            await run_on_thread(self, self._cursor.close)
            raise

    aiosqlite.Cursor._execute = run_and_close_if_failed  # type: ignore[method-assign]


def lock_at_begin() -> None:
    """From now on a transaction takes SQLite's write lock when it begins, and so waits its turn.

    Prefect's read first and write later. SQLite refuses the write at once ("database is locked") where anybody else
    wrote in between: requests are answered with 503, and events are dropped that the automations for lost runs need.
    """
    begin_transaction = AioSqliteConfiguration.begin_transaction

    def begin_with_lock(
        self: AioSqliteConfiguration, session: AsyncSession, with_for_update: bool = True
    ) -> AbstractAsyncContextManager[AsyncSessionTransaction]:
        return begin_transaction(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin_with_lock  # type: ignore[assignment,method-assign]


def check_schemas_once() -> None:
    """From now on the schema of a pool's variables is checked against JSON Schema's own once, not twice a run."""
    check = validation._VALIDATOR.check_schema

    @lru_cache(maxsize=64)
    def check_text(text: str) -> None:
        check(json.loads(text), format_checker=validation._VALIDATOR.FORMAT_CHECKER)

    def check_schema(schema: dict[str, Any], format_checker: object = None) -> None:
        check_text(json.dumps(schema, sort_keys=True))

    validation._VALIDATOR.check_schema = check_schema


def main() -> None:
    """Serve until told to stop; the arguments are those of `prefect server start`."""
    close_failed_cursors()
    lock_at_begin()
    check_schemas_once()
    importlib.import_module("prefect.server.api.server")
    collect_rarely()  # an eighth of the server's time a run
    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    runpy.run_module("prefect", run_name="__main__")


if __name__ == "__main__":
    main()
