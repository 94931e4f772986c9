"""One request on its way through the simulated analyser, and how it is refused."""

from dataclasses import dataclass, field

from pydantic import ValidationError

from deployments.simulators.instrument_faults import Operation
from deployments.simulators.instrument_journal import JournalEntry


class RefusedError(Exception):
    """An answer other than 200, with a message a person can act on."""

    def __init__(
        self, status: int, error: str, *, field: str | None = None, header: tuple[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.field, self.header = status, error, field, header


@dataclass(slots=True)
class Call:
    """One request on its way through, with its line for the journal."""

    note: JournalEntry
    operation: Operation
    headers: dict[bytes, bytes]
    body: bytes | None  # none: longer than allowed
    query: bytes = b""
    hold_seconds: float = 0.0
    retry_header: tuple[str, str] | None = None
    content: dict[str, object] = field(default_factory=dict)

    def header(self, name: str) -> str | None:
        """The header's text; none when missing."""
        found = self.headers.get(name.lower().encode())
        return None if found is None else found.decode("latin-1")


def refusal_of(wrong: ValidationError) -> RefusedError:
    """Every complaint in one message, the first one's field named; the body's values are not repeated."""
    complaints = wrong.errors(include_url=False, include_input=False, include_context=False)
    if complaints[0]["type"] == "json_invalid":
        return RefusedError(400, "the body is not JSON")
    named = [(".".join(str(part) for part in complaint["loc"]) or "body", complaint["msg"]) for complaint in complaints]
    return RefusedError(400, "; ".join(f"{name}: {message}" for name, message in named), field=named[0][0])
