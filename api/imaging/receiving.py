"""Files as they come in: kept in memory while they are small, then in the tenant's spool, and taken in by threads."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.deps import Caller
from models.imaging.intake import Intake, Stored
from models.imaging.offers import Offer
from models.imaging.rules import HELD_RULES, NotLetInError
from models.kernel.errors import RetryableError, TooLargeError, UnreadableError
from models.kernel.settings import settings
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.growing import disk_errors
from tasks.clients.storage.spool import Spool, spool_of
from tasks.clients.storage.syncing import begin_sync

IN_MEMORY = 1024 * 1024
"""Bytes of a file that wait before they are written: a smaller one costs one call of a thread in all."""

PATIENCE_SECONDS = 60.0
"""With a sender from whom nothing comes: a line that is dead need not say so."""
ROUNDS = 10
"""How often it is looked within that time."""
LEAST_BYTES_A_SECOND = 1024
"""On the average, once it was waited for that time in all: a byte now and then would hold a connection for ever."""

Answer = TypeVar("Answer")


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes; RetryableError when too little came for too long, UnreadableError when the line broke."""
    patience = _Patience()
    stream = aiter(request.stream())
    try:
        while True:
            patience.waits = True
            chunk = await anext(stream)
            patience.came(len(chunk))
            yield chunk
    except StopAsyncIteration:
        return
    except ClientDisconnect:
        raise UnreadableError("the line broke", field="body") from None  # nobody hears it
    except asyncio.CancelledError:
        if patience.is_over():
            raise RetryableError("nothing, or too little, came for too long") from None
        raise
    finally:
        patience.end()


class _Patience:
    """Cancels the task once it has waited for too long. A timer for every piece would cost more than the piece."""

    def __init__(self) -> None:
        self.waits = False
        self._rounds = self._all_rounds = self._bytes = 0
        self._is_over = False
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(PATIENCE_SECONDS / ROUNDS, self._look)

    def _look(self) -> None:
        self._rounds = self._rounds + 1 if self.waits else 0
        self._all_rounds += self.waits
        self._is_over = self.waits and (self._rounds > ROUNDS or self._is_too_slow())
        if self._is_over and self._task is not None:
            self._task.cancel()
        else:
            self._timer = self._loop.call_later(PATIENCE_SECONDS / ROUNDS, self._look)

    def _is_too_slow(self) -> bool:
        """By the time that was waited for the sender: what is done with its pieces is not its fault."""
        waited_seconds = self._all_rounds * PATIENCE_SECONDS / ROUNDS
        return self._all_rounds > ROUNDS and self._bytes < LEAST_BYTES_A_SECOND * waited_seconds

    def came(self, size: int) -> None:
        """A piece of so many bytes came."""
        self.waits, self._rounds = False, 0
        self._bytes += size

    def is_over(self) -> bool:
        """Whether the cancellation was ours."""
        return self._is_over and self._task is not None and self._task.uncancel() >= 0

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()


async def in_thread(work: Callable[[], Answer]) -> Answer:
    """Do it in one of the few threads that take images in: each of them has a connection to the database."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)


class Incoming:
    """One file on its way in."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._path: Path | None = None
        self._waiting: list[bytes] = []
        self.bytes_in_memory = 0
        self._digest = hashlib.sha256()
        self._syncing: Future[None]
        self._most = settings().radiology_largest_mb * 2**20
        self.size = 0

    async def add(self, data: bytes) -> None:
        """The next piece; TooLargeError once there is too much."""
        self.size += len(data)
        if self.size > self._most:
            raise TooLargeError("larger than is accepted (LABWIRE_RADIOLOGY_LARGEST_MB)", field="file")
        self._waiting.append(data)
        self.bytes_in_memory += len(data)
        if self.bytes_in_memory >= IN_MEMORY:
            await in_thread(self._write)

    def complete(self) -> tuple[Path, str]:
        """Where the file lies, and its SHA-256; called in a thread. `sync` makes it durable."""
        path = self._write()
        with path.open("rb") as opened:
            self._syncing = begin_sync(opened.fileno())
        return path, self._digest.hexdigest()

    def sync(self) -> None:
        """Wait until what is complete is durable."""
        with disk_errors():
            self._syncing.result()

    def drop(self) -> None:
        """Leave nothing of it."""
        self._waiting.clear()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self) -> Path:
        if self._path is None:
            self._path = self._spool.fresh()
        waiting, self._waiting, self.bytes_in_memory = self._waiting, [], 0
        # In one piece: each call that lets other threads run waits for its turn afterwards.
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        self._digest.update(data)
        with disk_errors(), self._path.open("ab") as opened:
            opened.write(data)
        return self._path


class Entrance:
    """Where one caller's files are taken in."""

    def __init__(self, caller: Caller, source: str) -> None:
        self.caller, self.source = caller, source
        self.spool = spool_of(caller.tenant_slug)
        self.intake = Intake(caller.tenant_id, caller.actor, storage_for_new(caller.tenant_slug), pool())

    def take(self, incoming: Incoming, offer: Callable[[Path, str], Offer]) -> Stored:
        """Complete the file and take it in; called in a thread.

        NotLetInError where a rule keeps it out: held where the rule is one of those, else gone.
        """
        (result,) = self.take_many([incoming], offer)
        if isinstance(result, Exception):
            raise result
        return result

    def take_many(self, several: Sequence[Incoming], offer: Callable[[Path, str], Offer]) -> list[Stored | Exception]:
        """The same of several: what became of each, or its error, in their order."""
        try:
            offers = [replace(offer(*incoming.complete()), settle=incoming.sync) for incoming in several]
            results = self.intake.take_many(offers)
            for made, result in zip(offers, results, strict=True):
                if isinstance(result, NotLetInError) and result.rule in HELD_RULES:
                    self._hold(made, result)
            return results
        finally:
            for incoming in several:
                incoming.drop()

    def _hold(self, offer: Offer, error: NotLetInError) -> None:
        self.intake.hold(offer, error, lambda number: self.spool.keep_as(offer.path, number))


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=settings().database_pool_size, thread_name_prefix="takes-images-in")
