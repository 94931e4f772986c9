"""What the hub needs from an analyser; tasks.clients.instrument fulfils it for the documented HTTP interface."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from models.instruments.result_rules import Violation
from models.instruments.schemas import InstrumentResult
from models.kernel.errors import UnknownOutcomeError


@dataclass(frozen=True, slots=True)
class QueueRequest:
    """One test to queue: the documented payload as JSON, and the key; both are the same on every attempt."""

    body: bytes = field(repr=False)
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Queued:
    """The instrument took the test under `queue_id`; `position` where it said so."""

    queue_id: str
    position: int | None


@dataclass(frozen=True, slots=True)
class FetchedResult:
    """A result's answer as received, and as far as it could be read."""

    body: bytes
    result: InstrumentResult | Violation
    received_at: datetime

    @property
    def state(self) -> str:
        """queued, running, or finished: failed, completed, or not readable, which is for a person to see."""
        if isinstance(self.result, Violation) or self.result.status not in ("queued", "running"):
            return "finished"
        return self.result.status


@dataclass(frozen=True, slots=True)
class InstrumentStatus:
    """What a status check said; `status` is the instrument's own word, `online` where it can work."""

    status: str
    queue_length: int | None
    last_calibration_at: datetime | None


class UnreadableAnswerError(UnknownOutcomeError):
    """The instrument accepted something, but its answer has no usable id; `text` is what it said."""

    def __init__(self, message: str, *, text: str) -> None:
        super().__init__(message)
        self.text = text


class Instrument(Protocol):
    """An analyser. Every method raises RetryableError, ConfigError or RefusedError; `queue` UnknownOutcomeError too."""

    async def queue(self, request: QueueRequest) -> Queued:
        """Put a test into the instrument's queue; the same key again is the same test, where keys are honoured."""

    async def result(self, queue_id: str) -> FetchedResult | None:
        """What became of it; None when the instrument does not know it (any more)."""

    async def status(self) -> InstrumentStatus:
        """Whether it can work, how long its queue is, when it was last calibrated."""
