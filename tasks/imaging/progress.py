"""How far a run has come, on its page, while its work goes on in a thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from uuid import UUID

import httpx
import structlog
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

SECONDS_BETWEEN = 2.0

log = structlog.get_logger(__name__)


class Progressing(Protocol):
    """Work of which `done` of the `total` known so far is done."""

    done: int
    total: int


@asynccontextmanager
async def shown_progress(work: Progressing, what: str) -> AsyncIterator[None]:
    """Show it until the block ends; `what` is counted. Without a run or a server nothing happens."""
    context = FlowRunContext.get()
    if context is None or context.flow is None:
        yield
        return
    shown = _Shown(work, what, f"{context.flow.name}-progress")
    showing = asyncio.create_task(shown.go_on())
    try:
        yield
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing
        await shown.publish()


class _Shown:
    def __init__(self, work: Progressing, what: str, key: str) -> None:
        self._work, self._what, self._key = work, what, key
        self._artifact: UUID | None = None
        self._last = (0, 0)

    async def go_on(self) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN)
            await self.publish()

    async def publish(self) -> None:
        now = (self._work.done, self._work.total)
        if now == self._last or not now[1]:
            return
        self._last = now
        percent, words = 100 * now[0] / now[1], f"{now[0]} of {now[1]} {self._what}"
        try:
            if self._artifact is None:
                self._artifact = await acreate_progress_artifact(percent, key=self._key, description=words)
            else:
                await aupdate_progress_artifact(self._artifact, percent, description=words)
        except (httpx.HTTPError, PrefectException) as error:
            log.warning("the progress could not be shown", error=type(error).__name__)
