"""What lies in the simulated analyser: its queue, its clock, and the results it remembers."""

import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from deployments.simulators.instrument_options import InstrumentOptions, QueueRequest

State = Literal["queued", "running", "completed", "failed"]
PRIORITIES = ("stat", "urgent", "routine")  # most pressing first


@dataclass(slots=True, eq=False)
class Entry:
    """One order on board."""

    id: int
    request: QueueRequest
    queued_at: float  # unix seconds, true time
    offset_seconds: float  # how far the clock was put forward when it came
    starts_after: float  # seconds in the queue
    finishes_after: float  # seconds until the result
    idempotency_key: str | None = None
    failed_remarks: str | None = None
    stuck: str | None = None


class KeyReusedError(Exception):
    """The idempotency key came before with another body."""


class InstrumentQueue:
    """Orders and results, in memory; used from the loop's thread, readable from any."""

    def __init__(self, options: InstrumentOptions) -> None:
        self._options = options
        self._next_id = options.first_id if options.first_id is not None else int(time.time())
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._by_key: dict[str, Entry] = {}
        self._waiting: dict[str, deque[Entry]] = {priority: deque() for priority in PRIORITIES}
        self._stuck: list[Entry] = []
        self._offset_seconds = 0.0
        self.latest: Entry | None = None

    def accept(self, request: QueueRequest, key: str | None) -> tuple[Entry, bool]:
        """Queue the order; (entry, False), or the entry the same key made before and True; KeyReusedError."""
        honoured = key if self._options.honours_keys else None
        if honoured is not None and (earlier := self._by_key.get(honoured)) is not None and self.find(earlier.id):
            if earlier.request != request:
                raise KeyReusedError
            return earlier, True
        starts_after = self._options.queue_seconds
        finishes_after = starts_after + self._options.run_seconds
        entry = Entry(self._next_id, request, time.time(), self._offset_seconds, starts_after, finishes_after, honoured)
        self._next_id += 1
        self._entries[entry.id] = entry
        if honoured is not None:
            self._by_key[honoured] = entry
        self._waiting[request.priority].append(entry)
        if len(self._entries) > self._options.max_entries:
            self._drop(next(iter(self._entries.values())))
        self.latest = entry
        return entry, False

    def find(self, entry_id: int) -> Entry | None:
        """The order, or none when it is unknown or its result is older than the retention."""
        entry = self._entries.get(entry_id)
        if entry is None:
            return None
        kept_seconds = entry.finishes_after + self._options.retention_hours * 3600
        if self.age_seconds(entry) > kept_seconds and entry.stuck is None:
            self._drop(entry)
            return None
        return entry

    def age_seconds(self, entry: Entry) -> float:
        """Seconds since it was queued, on the analyser's clock."""
        return time.time() - entry.queued_at + self._offset_seconds - entry.offset_seconds

    def state(self, entry: Entry) -> State:
        """Where the order is now."""
        age = self.age_seconds(entry)
        if age < entry.starts_after or entry.stuck == "queued":
            return "queued"
        if age < entry.finishes_after or entry.stuck is not None:
            return "running"
        return "failed" if entry.failed_remarks is not None else "completed"

    def completed_at(self, entry: Entry) -> float:
        """True unix time of the result; a clock put forward never makes it lie ahead."""
        return min(entry.queued_at + entry.finishes_after, time.time())

    def position(self, entry: Entry) -> int:
        """Place in the queue counting from 1: stat before urgent before routine."""
        ahead = 0
        for priority in PRIORITIES:
            ahead += len(self._pending(priority))
            if priority == entry.request.priority:
                break
        return max(ahead, 1)

    def length(self) -> int:
        """How many orders have no result yet."""
        return sum(len(self._pending(priority)) for priority in PRIORITIES) + len(self._stuck)

    def hold(self, entry: Entry, state: str) -> None:
        """Leave the order 'queued' or 'running' for ever."""
        entry.stuck = state
        self._waiting[entry.request.priority].remove(entry)
        self._stuck.append(entry)

    def _pending(self, priority: str) -> deque[Entry]:
        """The unfinished orders of that priority; finished ones leave from the front, so a look costs little."""
        waiting = self._waiting[priority]
        while waiting and self.state(waiting[0]) in ("completed", "failed"):
            waiting.popleft()
        return waiting

    def entries(self) -> tuple[Entry, ...]:
        """Every order on board, oldest first."""
        return tuple(self._entries.values())

    def forget(self, request_id: str | None = None) -> int:
        """Lose the orders of one requestId, or all; returns how many."""
        gone = [entry for entry in self.entries() if request_id in (None, entry.request.request_id)]
        for entry in gone:
            self._drop(entry)
        return len(gone)

    def advance_hours(self, hours: float) -> None:
        """Make everything on board so many hours older; later orders carry the true time again."""
        self._offset_seconds += hours * 3600

    def _drop(self, entry: Entry) -> None:
        self._entries.pop(entry.id, None)
        if entry.idempotency_key is not None:
            self._by_key.pop(entry.idempotency_key, None)
        holder = self._waiting[entry.request.priority] if entry.stuck is None else self._stuck
        if entry in holder:
            holder.remove(entry)


def iso(seconds: float) -> str:
    """Unix seconds as the document writes times: UTC, whole seconds, Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
