"""Who may wait for a parser: few, in threads that nobody else needs. Whoever comes when they are taken is told so."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from models.kernel.errors import RetryableError

PICTURING_THREADS = 6
MOST_PICTURES = 64
"""Requests for pictures that wait or are answered in one process."""
MOST_READS = 12
"""Of the framework's 40 threads: those that wait for a parser because nothing is known of an image yet."""
COME_AGAIN_SECONDS = 2

P = ParamSpec("P")
Answer = TypeVar("Answer")


class Room:
    """Threads of their own for work that waits for a parser. RetryableError at once where `most` are in it."""

    def __init__(self, threads: int, most: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="shows-images")
        self._free = threading.BoundedSemaphore(most)

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do it in one of the threads."""
        _take(self._free)
        future = self._threads.submit(work)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, future: Future[Any]) -> None:
        self._free.release()


_pictures = Room(PICTURING_THREADS, MOST_PICTURES)
_reads = threading.BoundedSemaphore(MOST_READS)


def for_pictures(route: Callable[P, Answer]) -> Callable[P, Coroutine[Any, Any, Answer]]:
    """A route that is answered in the room for pictures."""

    @wraps(route)
    async def waiting(*args: P.args, **kwargs: P.kwargs) -> Answer:
        return await _pictures.run(partial(route, *args, **kwargs))

    return waiting


@contextmanager
def waiting_for_a_parser() -> Iterator[None]:
    """Around what may wait for a parser in a thread that others need, too; RetryableError where enough do."""
    _take(_reads)
    try:
        yield
    finally:
        _reads.release()


def _take(free: threading.BoundedSemaphore) -> None:
    if not free.acquire(blocking=False):
        raise RetryableError("too many wait for images to be read", retry_after_seconds=COME_AGAIN_SECONDS)
