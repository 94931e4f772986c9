"""The analyser pushes finished results unasked, and goes on until they are taken."""

import asyncio
import http.client
import json
import ssl
import time
from urllib.parse import urlsplit

from deployments.simulators.instrument_api import InstrumentApi
from deployments.simulators.instrument_journal import JournalEntry
from deployments.simulators.instrument_queue import Entry
from deployments.simulators.instrument_results import result_of, spoil

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
ANSWER_TIMEOUT_SECONDS = 10


class Pusher:
    """Sends each finished result to the push URL with the bearer token, the same body every time, until a 2xx."""

    def __init__(self, api: InstrumentApi) -> None:
        self._api = api
        self._running: set[asyncio.Task[None]] = set()

    def schedule(self, entry: Entry) -> None:
        """Push this order's result once it is there, where a push URL is set."""
        if self._api.options.push_url is not None:
            task = asyncio.create_task(self._push(entry))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def stop(self) -> None:
        """Give up what is not pushed yet."""
        for task in tuple(self._running):
            task.cancel()

    async def _push(self, entry: Entry) -> None:
        api = self._api
        while api.queue.state(entry) not in ("completed", "failed"):  # noqa: ASYNC110  # its clock can be put forward
            await asyncio.sleep(min(0.2, max(0.01, entry.finishes_after - api.queue.age_seconds(entry))))
        answer = result_of(entry, api.queue, api.options)
        spoil(answer, entry, api.faults)
        body = json.dumps(answer).encode()
        await self._until_taken(entry, body)
        if api.faults.take("push_twice", "results", entry.request.request_id):
            await self._until_taken(entry, body)

    async def _until_taken(self, entry: Entry, body: bytes) -> None:
        pause = FIRST_PAUSE_SECONDS
        while (url := self._api.options.push_url) is not None:
            if await self._send(entry, url, body):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _send(self, entry: Entry, url: str, body: bytes) -> bool:
        headers = {"Content-Type": "application/json"}
        if self._api.options.push_token is not None:
            headers["Authorization"] = f"Bearer {self._api.options.push_token}"
        note = JournalEntry(
            at=time.time(),
            method="POST",
            path=urlsplit(url).path,
            request_id=entry.request.request_id,
            idempotency_key=None,
            status=None,
            outcome="push-failed",
            queue_id=entry.id,
        )
        try:
            note.status = await asyncio.to_thread(self._post, url, body, headers)
        except (OSError, http.client.HTTPException) as failed:
            note.error = type(failed).__name__
        if note.status is not None and 200 <= note.status < 300:
            note.outcome = "pushed"
        self._api.journal.add(note)
        return note.outcome == "pushed"

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of one POST; no redirect is followed and no proxy asked."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            ca = self._api.options.push_ca
            trust = ssl.create_default_context(cafile=None if ca is None else str(ca))
            connection = http.client.HTTPSConnection(host, port, timeout=ANSWER_TIMEOUT_SECONDS, context=trust)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_SECONDS)
        try:
            connection.request("POST", parts.path or "/", body, headers)
            return connection.getresponse().status
        finally:
            connection.close()
