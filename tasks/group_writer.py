"""Many small writes of one run, gathered into few transactions."""

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models.kernel.tenancy import group_session, switch_tenant

Item = TypeVar("Item")
Write = Callable[[Session, int, list[Item]], Sequence[Any]]

WAITS_WHEN_DATABASE_IS_GONE_SECONDS = (0.1, 0.5, 1, 2, 4, 8)

log = structlog.get_logger(__name__)


class Written(asyncio.Future[Any]):
    """What `write` returned for one item, once it is committed; it need not be awaited."""

    is_awaited = False

    def __await__(self) -> Generator[Any, None, Any]:
        self.is_awaited = True
        return (yield from super().__await__())


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item]):
    tenant_id: int
    item: Item
    written: Written


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception


class GroupWriter(Generic[Item]):
    """Writes what `put` hands it in one transaction for all tenants of the moment, on one thread of its own.

    `write(session, tenant_id, items)` is called once per tenant, after the switch to it, and returns one result per
    item. When a group fails it is written again item by item, so that only the item at fault fails; while the
    database cannot be reached it is tried again for about 15 s. So `write` may see an item again whose transaction
    was rolled back, or committed without our hearing of it.
    """

    def __init__(self, write: Write[Item], *, most: int = 50) -> None:
        self._write = write
        self._most = most
        self._waiting: list[_Waiting[Item]] = []
        self._now = asyncio.Event()
        self._due_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closing = False
        self._failed: list[Written] = []

    def put(self, tenant_id: int, item: Item, *, within_seconds: float = 0.5) -> Written:
        """Have `item` written within that time, or as soon as `most` of them wait."""
        if self._task.done():
            raise RuntimeError("the writer has ended")
        loop = self._task.get_loop()
        written = Written(loop=loop)
        self._waiting.append(_Waiting(tenant_id, item, written))
        due_at = loop.time() + within_seconds
        if len(self._waiting) >= self._most:
            self._now.set()
        elif self._due_at is None or due_at < self._due_at:
            if self._timer is not None:
                self._timer.cancel()
            self._due_at = due_at
            self._timer = loop.call_at(due_at, self._now.set)
        return written

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="group-writer")
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write all that waits, then raise the first error of an item nobody awaited."""
        self._is_closing = True
        self._now.set()
        try:
            await self._task
        finally:
            self._thread.shutdown(wait=False)
        unseen = [written.exception() for written in self._failed if not written.is_awaited]
        if error is None and unseen and unseen[0] is not None:
            raise unseen[0]

    async def _run(self) -> None:
        try:
            while not (self._is_closing and not self._waiting):
                await self._now.wait()
                await self._write_waiting()
        finally:
            for waiting in self._waiting:
                waiting.written.cancel()

    async def _write_waiting(self) -> None:
        if not self._is_closing:
            self._now.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._due_at = self._timer = None
        group, self._waiting = self._waiting, []
        if not group:
            return
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._thread, self._write_group, group)
        except BaseException:
            for waiting in group:
                waiting.written.cancel()
            raise
        for waiting, result in zip(group, results, strict=True):
            self._settle(waiting.written, result)

    def _settle(self, written: Written, result: object) -> None:
        if written.done():  # whoever waited for it was cancelled
            return
        if isinstance(result, _Failure):
            written.set_exception(result.error)
            self._failed.append(written)
        else:
            written.set_result(result)

    def _write_group(self, group: list[_Waiting[Item]]) -> list[Any]:
        for pause in WAITS_WHEN_DATABASE_IS_GONE_SECONDS:
            try:
                return self._commit(group)
            except OperationalError as error:
                log.warning("writing again", error=type(error.orig).__name__, items=len(group), in_seconds=pause)
                time.sleep(pause)
            except Exception as error:  # noqa: BLE001  # each item's own error goes to its future below
                log.warning("writing one by one", error=type(error).__name__, items=len(group))
                break
        return [self._commit_one(waiting) for waiting in group]

    def _commit_one(self, waiting: _Waiting[Item]) -> Any:
        try:
            return self._commit([waiting])[0]
        except Exception as error:  # noqa: BLE001  # raised where the item is awaited, or when the writer closes
            return _Failure(error)

    def _commit(self, group: list[_Waiting[Item]]) -> list[Any]:
        members: dict[int, list[int]] = {}
        for index, waiting in enumerate(group):
            members.setdefault(waiting.tenant_id, []).append(index)
        results: list[Any] = [None] * len(group)
        with group_session() as session:
            for tenant_id, indexes in sorted(members.items()):
                switch_tenant(session, tenant_id)
                answers = self._write(session, tenant_id, [group[index].item for index in indexes])
                for index, answer in zip(indexes, answers, strict=True):
                    results[index] = answer
        return results
