"""Statements of one transaction that travel together: planned once for a connection, sent when an answer is needed.

For what is done many times a second: a statement costs a round trip, and its planning costs more than its work.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psycopg2
from pydantic_core import to_json
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.orm import Session

Row = TypeVar("Row", bound=tuple[Any, ...])
"""A NamedTuple."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement with `$1`, `$2` ... of the given types; its name is unique among all. No percent sign in it."""

    name: str
    types: str
    sql: str


@dataclass(frozen=True, slots=True)
class Asked(Prepared, Generic[Row]):
    """One that returns rows: `row` has the names of its columns, in their order."""

    row: type[Row]


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Rows for a statement that reads them by `json_to_recordset`: times and decimals exact, bytes as hex."""
    return to_json(rows, bytes_mode="hex").decode()


class Pipeline:
    """What `put` is given is carried out in its order, together with the next `ask` or `send`.

    It speaks to the driver itself: what SQLAlchemy makes of a statement and its rows costs twice what they cost.
    """

    def __init__(self, within: Session | Connection) -> None:
        """In the running transaction of a session, or of a connection."""
        self._given = within if isinstance(within, Session) else None
        self._made: Session | None = None
        self._connection = within.connection() if isinstance(within, Session) else within
        self._transaction = self._connection.get_transaction()
        self._prepared: set[str] = self._connection.info.setdefault("prepared", set())
        self._texts: list[str] = []
        self._values: list[Any] = []
        self._described: Sequence[Any] | None = None

    @property
    def session(self) -> Session:
        """For other statements of the same transaction: `send` first. One is made for whoever asks first."""
        if self._given is not None:
            return self._given
        if self._made is None:
            self._made = Session(self._connection, expire_on_commit=False)
        return self._made

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

    def ask(self, statement: Asked[Row], *values: Any) -> Sequence[Row]:
        """Send what waits and this; its rows. SQLAlchemy's errors."""
        is_new, row = statement.name not in self._prepared, statement.row
        self.put(statement, *values)
        rows = [row(*columns) for columns in self._send()]
        if is_new and self._columns != (names := getattr(row, "_fields", ())):
            raise AssertionError(f"{statement.name} returns {self._columns}, its row is said to have {names}")
        return rows

    def send(self) -> None:
        """Send what waits."""
        if self._texts:
            self._send()

    def write_out(self) -> None:
        """Write out and let go of what the session holds; nothing where nobody used one."""
        session = self._given or self._made
        if session is not None:
            session.flush()
            session.expunge_all()

    def finish(self) -> None:
        """Send and write out all that waits, at the end of the transaction: whoever began it commits it."""
        self.send()
        if self._made is not None:
            self._made.commit()  # it joined a transaction, and so commits nothing

    def _send(self) -> Sequence[tuple[Any, ...]]:
        texts, values = self._texts, tuple(self._values)
        self._texts, self._values = [], []
        return self._carry_out("; ".join(texts), values)

    @property
    def _columns(self) -> tuple[str, ...]:
        return tuple(column.name for column in self._described or ())

    def _carry_out(self, statement: str, values: tuple[Any, ...] | None = None) -> Sequence[tuple[Any, ...]]:
        if self._transaction is None or not self._transaction.is_active:  # the driver would begin one of its own
            raise InvalidRequestError("the pipeline's transaction has ended")
        driver: Any = self._connection.connection.dbapi_connection
        try:
            with driver.cursor() as cursor:
                cursor.execute(statement, values)
                self._described = cursor.description
                return cursor.fetchall() if cursor.description else ()
        except psycopg2.Error as error:
            if self._connection.dialect.is_disconnect(error, driver, None):
                self._let_it_be_met()
            raise self._translated(error, statement) from error

    def _let_it_be_met(self) -> None:
        """SQLAlchemy itself meets the cut: it then makes this and every other connection anew before it is used."""
        with suppress(DBAPIError):
            self._connection.exec_driver_sql("SELECT 1")

    def _translated(self, error: psycopg2.Error, statement: str) -> BaseException:
        """As SQLAlchemy tells it, without the values."""
        told: BaseException = DBAPIError.instance(
            statement=statement,
            params=None,
            orig=error,
            dbapi_base_err=psycopg2.Error,
            hide_parameters=True,
            connection_invalidated=self._connection.invalidated,
            dialect=self._connection.dialect,
        )
        return told
