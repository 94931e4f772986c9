"""How often each viewer's address is used: counted here, written every few seconds, for a viewer asks all the time.

An opening is told from the other requests by what OHIF asks first, and told at once; a reload within seconds is one.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

WRITTEN_EVERY_SECONDS = 5.0
SAME_OPENING_SECONDS = 10.0
TOLD_EVERY_SECONDS = 60.0
"""A refused address is audited once in so long: a viewer that was shut out still asks for every image."""
MOST = 10_000

Key = tuple[int, int]
"""Tenant and grant."""


@dataclass(slots=True)
class _Uses:
    requests: int = 0
    openings: int = 0
    is_noted: bool = False
    written_at: float = -WRITTEN_EVERY_SECONDS
    opened_at: float = -SAME_OPENING_SECONDS


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be written now. `is_first`: the reading of the patient too, which this process has not noted yet."""

    requests: int
    openings: int
    is_first: bool


class Usage:
    """The uses of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: OrderedDict[Key, _Uses] = OrderedDict()
        self._told: OrderedDict[Key, float] = OrderedDict()

    def note(self, key: Key, *, is_opening: bool) -> Due | None:
        """One more request; what is to be written now, or None while there is time."""
        now = time.monotonic()
        with self._lock:
            uses = self._uses.setdefault(key, _Uses())
            self._uses.move_to_end(key)
            while len(self._uses) > MOST:
                self._uses.popitem(last=False)
            uses.requests += 1
            is_new = is_opening and now - uses.opened_at >= SAME_OPENING_SECONDS
            if is_new:
                uses.opened_at = now
                uses.openings += 1
            if not is_new and now - uses.written_at < WRITTEN_EVERY_SECONDS:
                return None
            return self._take(uses, now)

    def take(self, key: Key) -> Due | None:
        """What was not written yet of this grant."""
        with self._lock:
            uses = self._uses.get(key)
            return self._take(uses, time.monotonic()) if uses is not None and uses.requests else None

    def give_back(self, key: Key, due: Due) -> None:
        """It could not be written: with the next."""
        with self._lock:
            uses = self._uses.setdefault(key, _Uses())
            uses.requests += due.requests
            uses.openings += due.openings
            uses.is_noted = uses.is_noted and not due.is_first

    def is_to_be_told(self, key: Key) -> bool:
        """Whether a refusal of this grant is to be audited."""
        now = time.monotonic()
        with self._lock:
            if now - self._told.get(key, -TOLD_EVERY_SECONDS) < TOLD_EVERY_SECONDS:
                return False
            self._told[key] = now
            self._told.move_to_end(key)
            while len(self._told) > MOST:
                self._told.popitem(last=False)
            return True

    def _take(self, uses: _Uses, now: float) -> Due:
        due = Due(uses.requests, uses.openings, is_first=not uses.is_noted)
        uses.requests = uses.openings = 0
        uses.is_noted, uses.written_at = True, now
        return due
