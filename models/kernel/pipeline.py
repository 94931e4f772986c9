"""Statements of one transaction that travel together: planned once for a connection, sent when an answer is needed.

For what is done many times a second: a statement costs a round trip, and its planning costs more than its work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row
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

    The session is for other statements of the same transaction: `send` first.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._connection = session.connection()
        self._prepared: set[str] = self._connection.info.setdefault("prepared", set())
        self._texts: list[str] = []
        self._values: list[Any] = []

    def put(self, statement: Prepared, *values: Any) -> None:
        """Have it carried out in its turn; what it returns is not seen."""
        if statement.name not in self._prepared:
            self._connection.exec_driver_sql(f"PREPARE {statement.name} ({statement.types}) AS {statement.sql}")
            self._prepared.add(statement.name)
        self.put_text(f"EXECUTE {statement.name}({', '.join(['%s'] * len(values))})", *values)

    def put_text(self, text: str, *values: Any) -> None:
        """The same for a statement that costs nothing to plan, its values as `%s`."""
        self._texts.append(text)
        self._values += values

    def ask(self, statement: Prepared, *values: Any) -> Sequence[Row[Any]]:
        """Send what waits and this; its rows."""
        self.put(statement, *values)
        rows: Sequence[Row[Any]] = self._send().all()
        return rows

    def send(self) -> None:
        """Send what waits."""
        if self._texts:
            self._send()

    def _send(self) -> Any:
        texts, values = self._texts, tuple(self._values)
        self._texts, self._values = [], []
        return self._connection.exec_driver_sql("; ".join(texts), values)
