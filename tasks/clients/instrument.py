"""The documented instrument interface over HTTP: POST /api/queue, GET /api/results/{id}, GET /api/status."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from models.instruments.ports import (
    FetchedResult,
    InstrumentStatus,
    Queued,
    QueueRequest,
    UnreadableAnswerError,
)
from models.instruments.result_rules import Violation, parse_result
from models.kernel.clock import as_utc, utc_now
from models.kernel.errors import RetryableError, UnknownOutcomeError
from tasks.clients.contained import contained
from tasks.clients.transport import CONNECTIONS, OutsideSystem, System

LONGEST_SECONDS = 60.0
"""An instrument may not be waited for longer: a send must end before its lease of 120 s does."""
MAX_BYTES = 256_000
MOST_TEXT = 500
MOST_ID = 200


@dataclass(frozen=True, slots=True)
class Address:
    """Where an instrument is reached: `keys` are valid ones, the newest first, each the whole header's content."""

    what: str
    endpoint: str
    auth_header: str
    keys: Sequence[str]
    timeout_seconds: float


class HttpInstrument:
    """Fulfils `models.instruments.ports.Instrument` for one instrument, with connections of its own."""

    def __init__(self, address: Address, *, connections: int = CONNECTIONS) -> None:
        """ConfigError when the endpoint may not be called. No connection is made yet."""
        self.outside = OutsideSystem(
            System(
                what=address.what,
                url=address.endpoint,
                keys=[{address.auth_header: key} for key in address.keys],
                timeout_seconds=min(address.timeout_seconds, LONGEST_SECONDS),
                connections=connections,
                max_bytes=MAX_BYTES,
            )
        )

    @contained(UnknownOutcomeError)
    async def queue(self, request: QueueRequest) -> Queued:
        """Put a test into the queue; UnreadableAnswerError when it was taken but the answer names no id."""
        headers = {"Idempotency-Key": request.idempotency_key}
        answer = await self.outside.post("/api/queue", request.body, headers=headers)
        content = _object(answer.body)
        queue_id = _identifier(content.get("id"))
        if queue_id is None:
            what = self.outside.system.what
            raise UnreadableAnswerError(f"{what}: its answer names no id; it may be queued", text=_text(answer.body))
        return Queued(queue_id, _count(content.get("queuePosition")))

    @contained(RetryableError)
    async def result(self, queue_id: str) -> FetchedResult | None:
        """The answer as received; None for 404: forgotten, or never known."""
        answer = await self.outside.get(f"/api/results/{quote(queue_id, safe='')}", is_missing_answer=True)
        if answer.status == 404:
            return None
        if answer.is_cut:
            return FetchedResult(answer.body, Violation("unreadable", "body", "the answer is too long"), utc_now())
        return FetchedResult(answer.body, parse_result(answer.body), utc_now())

    @contained(RetryableError)
    async def status(self) -> InstrumentStatus:
        """The instrument's own word on itself; `unreadable` where it says nothing of the kind."""
        answer = await self.outside.get("/api/status")
        content = _object(answer.body)
        word = content.get("status")
        is_word = isinstance(word, str) and word.isprintable() and 0 < len(word) <= 50
        calibrated = _moment(content.get("lastCalibration"))
        return InstrumentStatus(str(word) if is_word else "unreadable", _count(content.get("queueLength")), calibrated)

    async def aclose(self) -> None:
        """Close every connection."""
        await self.outside.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _identifier(value: object) -> str | None:
    """A JSON integer or a short text as text."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text.isprintable() and 0 < len(text) <= MOST_ID else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _moment(value: object) -> datetime | None:
    try:
        return as_utc(datetime.fromisoformat(str(value)))
    except ValueError:
        return None


def _text(body: bytes) -> str:
    return body[:MOST_TEXT].decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
