"""Many outside systems served at once, each from a queue of its own: one that is slow or gone delays no other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Work = TypeVar("Work")
Place = tuple[int, int]
"""A tenant's id and an instrument's id."""

AHEAD = 64
"""Pieces of work claimed ahead for one place: enough to keep it busy, and done long before their leases end."""


@dataclass(slots=True, eq=False)
class Lane(Generic[Work]):
    """One place's queue. `is_drained`: the database has no more for it; `is_stopped`: it is left alone."""

    place: Place
    waiting: deque[Work] = field(default_factory=deque)
    is_drained: bool = False
    is_stopped: bool = False
    is_begun: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Lanes(Generic[Work]):
    """Claims work for every lane, a little ahead, and serves each lane with `width` workers until all are empty.

    `claim` (called in a thread, for all hungry lanes together) takes how many to claim for each place. `serve` does
    one piece of work and says whether its lane goes on; if not, what the lane still holds goes to `give_back`.
    """

    def __init__(
        self,
        *,
        width: int,
        claim: Callable[[Mapping[Place, int]], Sequence[tuple[Place, Work]]],
        serve: Callable[[Work], Awaitable[bool]],
        give_back: Callable[[Place, Sequence[Work]], Awaitable[None]],
    ) -> None:
        self._width, self._claim, self._serve, self._give_back = width, claim, serve, give_back
        self._hungry = asyncio.Event()
        self._lanes: dict[Place, Lane[Work]] = {}

    async def run(self, places: Iterable[Place]) -> None:
        """Serve these places until nothing is due at any of them; the first unexpected error ends it all."""
        self._lanes = {place: Lane(place) for place in places}
        self._hungry.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed())
            for lane in self._lanes.values():
                for _ in range(self._width):
                    group.create_task(self._work(lane))

    async def _feed(self) -> None:
        while any(not (lane.is_drained or lane.is_stopped) for lane in self._lanes.values()):
            await self._hungry.wait()
            self._hungry.clear()
            wanted = {lane.place: self._appetite(lane) for lane in self._lanes.values() if self._is_hungry(lane)}
            if not wanted:
                continue
            claimed = await asyncio.to_thread(self._claim, wanted)
            got: dict[Place, list[Work]] = {place: [] for place in wanted}
            for place, work in claimed:
                got[place].append(work)
            for place, works in got.items():
                await self._fill(self._lanes[place], works, wanted[place])

    async def _fill(self, lane: Lane[Work], works: list[Work], wanted: int) -> None:
        lane.is_begun = True
        lane.is_drained = len(works) < wanted
        if lane.is_stopped:
            await self._give_back(lane.place, works)
        else:
            lane.waiting.extend(works)
        lane.changed.set()

    def _is_hungry(self, lane: Lane[Work]) -> bool:
        return not (lane.is_drained or lane.is_stopped) and len(lane.waiting) < self._width

    def _appetite(self, lane: Lane[Work]) -> int:
        """A first handful, so that the first requests go out at once; then well ahead."""
        return AHEAD if lane.is_begun else self._width

    async def _work(self, lane: Lane[Work]) -> None:
        while (work := await self._next(lane)) is not None:
            if not await self._serve(work) and not lane.is_stopped:
                lane.is_stopped = True
                left = list(lane.waiting)
                lane.waiting.clear()
                lane.changed.set()
                self._hungry.set()
                await self._give_back(lane.place, left)

    async def _next(self, lane: Lane[Work]) -> Work | None:
        while True:
            if lane.is_stopped:
                return None
            if lane.waiting:
                work = lane.waiting.popleft()
                if self._is_hungry(lane):
                    self._hungry.set()
                return work
            if lane.is_drained:
                return None
            lane.changed.clear()
            await lane.changed.wait()
