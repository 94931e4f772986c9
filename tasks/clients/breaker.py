"""A circuit breaker: after a few failures in a row an outside system is left alone for a while."""

import time
from collections.abc import Callable

from models.kernel.errors import UnavailableError


class CircuitBreaker:
    """Closed; open after `failures` in a row, for `pause_seconds`; then one call may try, and decides.

    One per outside system and process, used from one event loop. `pause` opens it for as long as the system asked.
    """

    def __init__(
        self, what: str, *, failures: int = 3, pause_seconds: float = 30, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._limit, self._pause_seconds, self._clock = what, failures, pause_seconds, clock
        self._failed = 0
        self._closed_from = 0.0
        self._is_tried = False

    @property
    def open_seconds(self) -> float:
        """How long it stays open; 0 when a call may go out."""
        return max(0.0, self._closed_from - self._clock())

    def check(self) -> None:
        """UnavailableError, with nothing sent, while open or while the one trial call is under way."""
        remaining = self.open_seconds
        if remaining or self._is_tried:
            wait = remaining or self._pause_seconds
            raise UnavailableError(f"{self._what}: left alone after failures", retry_after_seconds=wait)
        self._is_tried = self._failed >= self._limit

    def succeeded(self) -> None:
        """The system answered: every failure so far is forgotten, a pause it asked for is not."""
        self._failed, self._is_tried = 0, False

    def failed(self) -> None:
        """The system did not answer, or answered that it cannot work."""
        self._failed += 1
        self._is_tried = False
        if self._failed >= self._limit:
            self.pause(self._pause_seconds)

    def pause(self, seconds: float) -> None:
        """Leave the system alone for so long at least."""
        self._closed_from = max(self._closed_from, self._clock() + seconds)

    def gave_up(self) -> None:
        """The call was cancelled: neither a success nor a failure."""
        self._is_tried = False
