"""What one request brings, taken in so many at a time: most of what an image costs is paid once for a group."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from api.imaging.receiving import in_thread

A_GROUP, GROUP_BYTES = 10, 6 * 2**20
"""Images of one request that are stored together, at most; and after how much in memory it is time for fewer."""
AT_ONCE = 2
"""Groups of one request; another one is coming meanwhile."""

One = TypeVar("One")
Told = TypeVar("Told")


class Groups(Generic[One, Told]):
    """Groups of one request. `work` is called in a thread, and tells of each of a group in its order."""

    def __init__(self, work: Callable[[list[One]], list[Told]]) -> None:
        self._work = work
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting: list[One] = []
        self._bytes_waiting = 0
        self._tasks: list[asyncio.Task[list[Told]]] = []

    async def add(self, one: One, bytes_in_memory: int) -> None:
        """The next of the request; returns when more may come."""
        self._waiting.append(one)
        self._bytes_waiting += bytes_in_memory
        if len(self._waiting) >= A_GROUP or self._bytes_waiting >= GROUP_BYTES:
            await self._begin()

    async def settle(self) -> None:
        """Wait until all that were added are taken in, well or not."""
        await self._begin()
        await asyncio.gather(*self._tasks, return_exceptions=True)  # asyncio would log errors that nobody looked at

    def told(self) -> list[Told]:
        """What was told of each, in the order they were added; the first error of a group is raised."""
        return [one for task in self._tasks for one in task.result()]

    async def _begin(self) -> None:
        if self._waiting:
            await self._free.acquire()
            group, self._waiting, self._bytes_waiting = self._waiting, [], 0
            self._tasks.append(asyncio.create_task(self._take(group)))

    async def _take(self, group: list[One]) -> list[Told]:
        try:
            return await in_thread(partial(self._work, group))
        finally:
            self._free.release()
