"""What the simulated analyser saw: one line for every request, in memory, bounded."""

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class JournalEntry:
    """One request as it was received, and what became of it."""

    at: float  # unix seconds
    method: str
    path: str
    request_id: str | None
    idempotency_key: str | None
    status: int | None  # none: never answered
    outcome: str  # queued, repeated, fetched:<state>, status, not-found, refused, fault:<name>, pushed, push-failed
    queue_id: int | None = None
    error: str | None = None


class Journal:
    """The newest `size` requests, oldest first; safe to read from any thread."""

    def __init__(self, size: int) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=size)

    def add(self, entry: JournalEntry) -> None:
        """Note one request."""
        self._entries.append(entry)

    def entries(
        self, *, outcome: str | None = None, method: str | None = None, request_id: str | None = None
    ) -> list[JournalEntry]:
        """The noted requests that match; `outcome` matches from its beginning ('fetched' finds 'fetched:running')."""
        return [
            entry
            for entry in tuple(self._entries)
            if (outcome is None or entry.outcome.startswith(outcome))
            and method in (None, entry.method)
            and request_id in (None, entry.request_id)
        ]

    def count(self, outcome: str | None = None, *, method: str | None = None, request_id: str | None = None) -> int:
        """How many noted requests match."""
        return len(self.entries(outcome=outcome, method=method, request_id=request_id))

    def clear(self) -> None:
        """Forget every noted request."""
        self._entries.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Every noted request, as data."""
        return [asdict(entry) for entry in tuple(self._entries)]
