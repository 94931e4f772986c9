"""What rows travel in between the tasks of a flow."""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

Row = TypeVar("Row")


class Batch(Generic[Row]):
    """Rows handed from task to task in one opaque piece.

    Prefect walks, hashes and copies lists, dataclasses and models on every task call, seconds for 100,000 rows.
    It does not look into this class, and its `repr` shows no row.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"<Batch of {len(self.rows)}>"
