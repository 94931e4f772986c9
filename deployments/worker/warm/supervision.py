"""Prefect's supervision of runs' processes, shared by the runs of a worker.

Prefect opens one for each run: a client, a line for events, a line that tells of cancellations and a listener. Together
they cost the server as much as the run itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast
from uuid import UUID

from prefect.logging import get_logger
from prefect.runner._cancellation_manager import CancellationManager
from prefect.runner._flow_run_executor import FlowRunExecutorContext
from prefect.runner._hook_runner import FlowRunHookRunner

CANCEL_ATTEMPTS = 6
CANCEL_PAUSE_SECONDS = 5


class SharedContext(FlowRunExecutorContext):
    """Prefect's context, where a cancellation that goes wrong ends no other run."""

    async def __aenter__(self) -> "SharedContext":
        await super().__aenter__()
        self._careful = CarefulCancellation(self._cancellation_manager)
        self._cancellation_manager = cast(CancellationManager, self._careful)
        return self

    @property
    def is_told_of_cancellations(self) -> bool:
        """Whether the server's line is open; without it runs already at work are asked for every ten seconds."""
        listening = self._observer._consumer_task
        return listening is not None and not listening.done()

    async def settle(self, run_id: UUID) -> None:
        """Return when no cancellation of this run is under way."""
        await self._careful.settle(run_id)


class CarefulCancellation:
    """Does for Prefect's context what its cancellation manager does."""

    def __init__(self, manager: CancellationManager) -> None:
        self._manager = manager
        self._under_way: dict[UUID, asyncio.Event] = {}
        self._hook_runner: FlowRunHookRunner | None = None  # set by the context for its newest run

    def use(self, hooks: FlowRunHookRunner) -> None:
        """From now on cancelled runs, whichever, have these hooks run."""
        self._manager._hook_runner = hooks

    async def cancel_by_id(self, run_id: UUID) -> None:
        """Cancel, trying again while the server does not answer; nothing is raised, for that would end every run."""
        done = self._under_way.setdefault(run_id, asyncio.Event())
        try:
            for _ in range(CANCEL_ATTEMPTS):
                try:
                    return await self._manager.cancel_by_id(run_id)
                except Exception:  # noqa: BLE001 # as Prefect's own
                    get_logger("worker").exception("Run %s could not be cancelled yet", run_id)
                    await asyncio.sleep(CANCEL_PAUSE_SECONDS)
        finally:
            done.set()
            self._under_way.pop(run_id, None)

    async def settle(self, run_id: UUID) -> None:
        """Return when no cancellation of this run is under way."""
        if (done := self._under_way.get(run_id)) is not None:
            await done.wait()


class _Keeper:
    """One context in a task of its own, for it has to be left by the task that entered it."""

    def __init__(self, hooks: FlowRunHookRunner) -> None:
        self.runs: set[UUID] = set()
        self.context = SharedContext()
        self.is_closing = asyncio.Event()
        self._is_open = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._keep(hooks))

    async def _keep(self, hooks: FlowRunHookRunner) -> None:
        try:
            async with self.context as context:
                context._careful.use(hooks)
                self._is_open.set_result(None)
                await self.is_closing.wait()
        except Exception as error:
            if self._is_open.done():
                raise
            self._is_open.set_exception(error)

    @property
    def is_well(self) -> bool:
        return not self.task.done() and self.context.is_told_of_cancellations

    async def opened(self) -> None:
        """Raises what went wrong while opening."""
        await asyncio.shield(self._is_open)


class Supervision:
    """Contexts: one for all, replaced for new runs once it is no longer told of cancellations."""

    def __init__(self, hooks: FlowRunHookRunner) -> None:
        self._open = partial(_Keeper, hooks)
        self._keepers: list[_Keeper] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def of_run(self, run_id: UUID) -> AsyncIterator[SharedContext]:
        """The context of one run; a process that is still alive at the end is killed."""
        keeper = await self._keeper()
        keeper.runs.add(run_id)
        try:
            yield keeper.context
            await keeper.context.settle(run_id)
        finally:
            if (process := keeper.context.process_manager.get(run_id)) is not None:
                process.hard_kill()
            keeper.runs.discard(run_id)
            self._retire()

    def terminate(self) -> None:
        """Send SIGTERM to every run's process."""
        for keeper in self._keepers:
            for run_id in keeper.runs:
                if (process := keeper.context.process_manager.get(run_id)) is not None:
                    process.graceful_kill()

    async def close(self) -> None:
        """Leave all contexts; processes still alive are killed."""
        for keeper in list(self._keepers):
            self._leave(keeper)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _keeper(self) -> _Keeper:
        async with self._lock:
            if not (self._keepers and self._keepers[-1].is_well):
                keeper = self._open()
                await keeper.opened()
                self._keepers.append(keeper)
                self._retire()
            return self._keepers[-1]

    def _retire(self) -> None:
        for keeper in self._keepers[:-1]:
            if not keeper.runs:
                self._leave(keeper)

    def _leave(self, keeper: _Keeper) -> None:
        self._keepers.remove(keeper)
        keeper.is_closing.set()
        self._leaving.add(keeper.task)
        keeper.task.add_done_callback(self._leaving.discard)
