"""What devices ask, let in by one thread of this process: whatever waits is one group, one transaction for all tenants.

Every answer comes after the commit. When a group fails, each of its requests is tried alone, and only the one at fault
fails.
"""

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from models.kernel.pipeline import Pipeline
from models.kernel.tenancy import GroupLine, group_session, switch_pipeline
from models.vitals.stores.admission import Outcome, Rates, Request, admit

SWITCH_SECONDS = 0.0005
"""The writer waits for the interpreter after each statement: not for the usual 5 ms behind the requests."""
PAUSE_SECONDS = 0.003
IDLE_SECONDS = 0.5
"""After that the connection goes back to the others'."""
MOST_REQUESTS = 64
MOST_READINGS = 2000
"""In one group: a transaction of some 50 ms."""

TOO_MANY = 429, "Too many readings"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    tenant_id: int
    request: Request
    future: asyncio.Future[Outcome]


class DoorWriter:
    """Started with the first request; `heard` is told the rates of each tenant after each commit.

    `is_full` is asked when a request's turn comes: what was let wait may be too much by then, and is only written down.

    A group costs nearly the same whether it lets in one or twenty, so the next one waits for as many requests as were
    there during the last, though not for long: a device that sends alone waits for nobody.
    """

    def __init__(
        self, heard: Callable[[int, Rates], None], is_full: Callable[[int, Request], bool] | None = None
    ) -> None:
        self._heard, self._is_full = heard, is_full
        self._waiting: deque[_Waiting] = deque()
        self._expected = 1
        self._is_writing = False
        self._pause: asyncio.TimerHandle | None = None
        self._groups: SimpleQueue[list[_Waiting]] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        sys.setswitchinterval(SWITCH_SECONDS)
        threading.Thread(target=self._work, name="door-writer", daemon=True).start()

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it answers on this loop."""
        return self._loop is loop

    async def admit(self, tenant_id: int, request: Request) -> Outcome:
        """What became of the request, once it is committed; the database's error when it cannot be."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._waiting.append(_Waiting(tenant_id, request, future))
        if not self._is_writing:
            self._begin_or_pause()
        return await future

    def _begin_or_pause(self) -> None:
        if len(self._waiting) >= self._expected:
            self._begin()
        elif self._pause is None:
            self._pause = self._loop.call_later(PAUSE_SECONDS, self._begin)

    def _begin(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._is_writing = True
        self._groups.put(self._next_group())

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        readings = 0
        while self._waiting and len(group) < MOST_REQUESTS and readings < MOST_READINGS:
            group.append(self._unless_full(self._waiting.popleft()))
            readings += len(group[-1].request.readings)
        return group

    def _unless_full(self, waiting: _Waiting) -> _Waiting:
        request = waiting.request
        if self._is_full is None or not request.readings or not self._is_full(waiting.tenant_id, request):
            return waiting
        return replace(waiting, request=replace(request, readings=(), refused=TOO_MANY))

    def _work(self) -> None:
        line = GroupLine()
        while True:
            try:
                group = self._groups.get(timeout=IDLE_SECONDS)
            except Empty:
                line.let_go()
                if self._loop.is_closed():
                    return
                continue
            results = _write(group, self._heard, line)
            self._loop.call_soon_threadsafe(self._settle, group, results)

    def _settle(self, group: list[_Waiting], results: Sequence[Outcome | Exception]) -> None:
        self._is_writing = False
        self._expected = min(len(group) + len(self._waiting), MOST_REQUESTS)
        for waiting, result in zip(group, results, strict=True):
            if waiting.future.done():  # its client is gone
                continue
            if isinstance(result, Exception):
                waiting.future.set_exception(result)
            else:
                waiting.future.set_result(result)
        if self._waiting:
            self._begin_or_pause()


def _write(
    group: list[_Waiting], heard: Callable[[int, Rates], None], line: GroupLine, *, is_again: bool = False
) -> Sequence[Outcome | Exception]:
    try:
        return commit([(waiting.tenant_id, waiting.request) for waiting in group], heard, line)
    except Exception as error:  # noqa: BLE001 # each request's own error is raised where it is awaited
        is_cut = isinstance(error, DBAPIError) and error.connection_invalidated
        if len(group) == 1 and (is_again or not is_cut):
            return [error]
        log.warning("writing one by one", error=type(error).__name__, requests=len(group))
        return [_write([waiting], heard, line, is_again=True)[0] for waiting in group]


def commit(
    asked: Sequence[tuple[int, Request]], heard: Callable[[int, Rates], None], line: GroupLine | None = None
) -> list[Outcome]:
    """Let in requests (tenant and request) in one transaction; their outcomes, once it is committed."""
    by_tenant: dict[int, list[int]] = {}
    for index, (tenant_id, _) in enumerate(asked):
        by_tenant.setdefault(tenant_id, []).append(index)
    results: list[Any] = [None] * len(asked)
    rates: list[tuple[int, Rates]] = []
    with line.session() if line else group_session() as session:
        pipeline = Pipeline(session)
        for tenant_id, indexes in sorted(by_tenant.items()):
            switch_pipeline(pipeline, tenant_id)
            outcomes, rate = admit(pipeline, tenant_id, [asked[index][1] for index in indexes])
            for index, outcome in zip(indexes, outcomes, strict=True):
                results[index] = outcome
            if rate is not None:
                rates.append((tenant_id, rate))
        pipeline.send()
    for tenant_id, rate in rates:
        heard(tenant_id, rate)
    return results
