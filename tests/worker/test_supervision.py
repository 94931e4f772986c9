"""The supervision a worker's runs share: renewed when its line is lost, unharmed by a cancellation that fails."""

import asyncio
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prefect.runner._cancellation_manager import CancellationManager
from prefect.runner._hook_runner import FlowRunHookRunner
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.worker.warm import supervision
from deployments.worker.warm.supervision import CarefulCancellation, Supervision
from tests.worker.running import Server

HOOKS = cast(FlowRunHookRunner, object())


class Manager:
    """Cancels at the second attempt."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.cancelled: list[UUID] = []

    async def cancel_by_id(self, run_id: UUID) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        self.cancelled.append(run_id)


@pytest.mark.unit
@pytest.mark.parametrize(("failures", "is_cancelled"), [(0, True), (2, True), (99, False)])
def test_a_cancellation_is_tried_again_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, failures: int, is_cancelled: bool
) -> None:
    monkeypatch.setattr(supervision, "CANCEL_PAUSE_SECONDS", 0)
    manager, run_id = Manager(failures), uuid4()
    asyncio.run(CarefulCancellation(cast(CancellationManager, manager)).cancel_by_id(run_id))
    assert manager.cancelled == ([run_id] if is_cancelled else [])


@pytest.mark.contract
@pytest.mark.slow
def test_runs_share_a_context_until_its_line_is_lost(server: Server) -> None:
    async def contexts() -> list[Any]:
        shared = Supervision(HOOKS)
        found: list[Any] = []
        async with shared.of_run(uuid4()) as first, shared.of_run(uuid4()) as second:
            found += [first, second]
            line = first._observer._consumer_task
            assert line is not None
            line.cancel()
            await asyncio.wait([line])
            async with shared.of_run(uuid4()) as third:
                found.append(third)
                assert third.is_told_of_cancellations
        await shared.close()
        return found

    with temporary_settings({PREFECT_API_URL: server.environment["PREFECT_API_URL"]}):
        first, second, third = asyncio.run(contexts())
    assert first is second
    assert third is not first
