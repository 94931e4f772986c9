"""What a run did, in counts: the message of its final state."""

from collections import Counter
from typing import Self

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed


class ProblemsFound(Exception):  # noqa: N818  # what happened, not a defect of the code
    """A run did its work and found something a person must look at; `tally` has the counts."""

    def __init__(self, tally: "Tally") -> None:
        super().__init__(tally.message)
        self.tally = tally


class Tally:
    """Counts by what happened, in the order they were first counted; any problem makes the run Failed."""

    __slots__ = ("counts", "notes", "problems")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self.notes: list[str] = []

    def count(self, what: str, number: int = 1) -> Self:
        """Something that went as it should: `stored`, `sent`, `held`. With a number of 0 nothing is counted."""
        if number:
            self.counts[what] += number
        return self

    def problem(self, what: str, number: int = 1) -> Self:
        """Something a person must look at: `dead`, `unknown`. With a number of 0 nothing is counted."""
        if number:
            self.problems[what] += number
        return self

    def note(self, text: str) -> Self:
        """A sentence for the message, once; ids and field names only."""
        if text not in self.notes:
            self.notes.append(text)
        return self

    def merge(self, other: "Tally") -> Self:
        """Add another tally's counts and notes to this one."""
        self.counts.update(other.counts)
        self.problems.update(other.problems)
        for text in other.notes:
            self.note(text)
        return self

    @property
    def message(self) -> str:
        """`stored 12, held 1; dead 2; mail cannot be reached`, or `nothing to do`."""
        parts = [
            ", ".join(f"{what} {number}" for what, number in counts.items() if number)
            for counts in (self.counts, self.problems)
        ]
        return "; ".join(part for part in (*parts, *self.notes) if part) or "nothing to do"

    def as_state(self) -> "State[Tally]":
        """The run's final state, with this tally as its data: Failed where there was a problem, else Completed.

        Of a failed run Prefect raises the data, so there it is a `ProblemsFound` that holds the tally.
        """
        if self.problems:
            return Failed(message=self.message, data=ProblemsFound(self))
        return Completed(message=self.message, data=self)

    def __repr__(self) -> str:
        return f"<Tally: {self.message}>"
