"""Statements of one transaction that travel together: planned once for a connection, sent when an answer is needed.

For what is done many times a second: a statement costs a round trip, and its planning costs more than its work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extras import NamedTupleCursor
from pydantic_core import to_json
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement with `$1`, `$2` ... of the given types; its name is unique among all. No percent sign in it."""

    name: str
    types: str
    sql: str


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Rows for a statement that reads them by `json_to_recordset`: times and decimals exact, bytes as hex."""
    return to_json(rows, bytes_mode="hex").decode()


class Pipeline:
    """What `put` is given is carried out in its order, together with the next `ask` or `send`.

    It speaks to the driver itself: what SQLAlchemy makes of a statement and its rows costs twice what they cost.
    """

    def __init__(self, within: Session | Connection) -> None:
        """In the running transaction of a session, or of a connection."""
        self._session = within if isinstance(within, Session) else None
        self._connection = within.connection() if isinstance(within, Session) else within
        self._prepared: set[str] = self._connection.info.setdefault("prepared", set())
        self._texts: list[str] = []
        self._values: list[Any] = []

    @property
    def session(self) -> Session:
        """For other statements of the same transaction: `send` first."""
        if self._session is None:
            self._session = Session(self._connection, expire_on_commit=False)
        return self._session

    def put(self, statement: Prepared, *values: Any) -> None:
        """Have it carried out in its turn; what it returns is not seen."""
        if statement.name not in self._prepared:
            self._carry_out(f"PREPARE {statement.name} ({statement.types}) AS {statement.sql}")
            self._prepared.add(statement.name)
        self.put_text(f"EXECUTE {statement.name}({', '.join(['%s'] * len(values))})", *values)

    def put_text(self, text: str, *values: Any) -> None:
        """The same for a statement that costs nothing to plan, its values as `%s`."""
        self._texts.append(text)
        self._values += values

    def ask(self, statement: Prepared, *values: Any) -> Sequence[Any]:
        """Send what waits and this; its rows, as named tuples. SQLAlchemy's errors."""
        self.put(statement, *values)
        return self._send()

    def send(self) -> None:
        """Send what waits."""
        if self._texts:
            self._send()

    def forget(self) -> None:
        """Write out and let go of what the session holds; nothing where nobody used one."""
        if self._session is not None:
            self._session.flush()
            self._session.expunge_all()

    def finish(self) -> None:
        """Send and write out all that waits, at the end of a connection's transaction."""
        self.send()
        if self._session is not None:
            self._session.commit()  # of what is the connection's it commits nothing

    def _send(self) -> Sequence[Any]:
        texts, values = self._texts, tuple(self._values)
        self._texts, self._values = [], []
        return self._carry_out("; ".join(texts), values)

    def _carry_out(self, statement: str, values: tuple[Any, ...] | None = None) -> Sequence[Any]:
        driver: Any = self._connection.connection.dbapi_connection
        cursor = driver.cursor(cursor_factory=NamedTupleCursor)
        try:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else ()
        except psycopg2.Error as error:
            raise self._error(error, statement, cursor) from error
        finally:
            cursor.close()

    def _error(self, error: psycopg2.Error, statement: str, cursor: Any) -> BaseException:
        """As SQLAlchemy tells it, without the values; a connection that was cut is not used again."""
        dialect = self._connection.dialect
        is_cut = dialect.is_disconnect(error, self._connection.connection.dbapi_connection, cursor)
        if is_cut:
            self._connection.invalidate(error)
        told: BaseException = DBAPIError.instance(
            *(statement, None, error, psycopg2.Error),
            hide_parameters=True,
            connection_invalidated=is_cut,
            dialect=dialect,
        )
        return told
