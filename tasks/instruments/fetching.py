"""Fetching results: every instrument at its own pace, raw answers kept as they arrive, checked in batches meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from models.instruments.ports import FetchedResult
from models.instruments.stores.poll_answers import KeptMessage, PollAnswer, keep_answers
from models.instruments.stores.polls import LEASE_SECONDS, Poll, WhichPolls, claim_polls, release_polls
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, LabwireError
from models.kernel.tenancy import tenant_session
from tasks.group_writer import GroupWriter
from tasks.instruments.checking import Checker, Fetched
from tasks.instruments.connections import CONNECTIONS, Connections
from tasks.instruments.lanes import Lanes, Place
from tasks.instruments.places import claim_at
from tasks.instruments.report import Line, Report

WRITTEN_SECONDS = 20
"""An answer is in the database so long after it came, at the latest: the group writer tries for some 15 s."""


@dataclass(frozen=True, slots=True)
class _Leased:
    """A question and when it was leased, on this process's clock."""

    poll: Poll
    at: float


class Fetcher:
    """One run's fetching; `owner` is what its leases are held under, `actor` who the audit trail names."""

    def __init__(self, owner: str, actor: Actor, which: WhichPolls) -> None:
        self._owner, self._actor, self._which = owner, actor, which
        self.report = Report()

    async def fetch(self, places: Sequence[Place]) -> Report:
        """Ask for all that is due at these places and complete or hold what is finished; returns when all is done."""
        async with (
            Connections(places, width=CONNECTIONS) as connections,
            Checker(self._actor) as checker,
            GroupWriter[PollAnswer](self._keep) as writer,
        ):
            self._connections, self._checker, self._writer = connections, checker, writer
            for place, problem in connections.problems.items():
                self.report.needs_a_look(Line(*place, None, "instrument not callable"))
                self.report.tally.note(problem)
            lanes = Lanes(width=CONNECTIONS, claim=self._claim, serve=self._serve, give_back=self._give_back)
            await lanes.run(connections.places)
        self.report.merge(checker.report)
        return self.report

    def _claim(self, most: Mapping[Place, int]) -> list[tuple[Place, _Leased]]:
        def claim(session: Session, tenant_id: int, wanted: Mapping[int, int]) -> list[Poll]:
            return claim_polls(session, tenant_id, self._which, wanted, owner=self._owner)

        now = time.monotonic()
        return [((poll.tenant_id, poll.equipment_id), _Leased(poll, now)) for poll in claim_at(most, claim)]

    async def _serve(self, work: _Leased) -> bool:
        poll = work.poll
        place = (poll.tenant_id, poll.equipment_id)
        client = self._connections.client(place)
        if client.outside.breaker.open_seconds:
            await self._give_back(place, [work])
            return False
        await self._checker.room()
        # Not so late that the lease could end, and another run ask as well, before the answer is in: claimed anew then.
        if time.monotonic() - work.at > LEASE_SECONDS - client.outside.longest_seconds - WRITTEN_SECONDS:
            await asyncio.to_thread(self._release, place[0], [poll.assignment_id])
            return True
        came = await _attempt(client.result(poll.queue_id))
        answer = _answer(poll, came)
        written = self._writer.put(poll.tenant_id, answer)
        if isinstance(came, FetchedResult) and came.state == "finished":
            written.add_done_callback(lambda done: self._check(poll, came, done))
        else:
            written.add_done_callback(lambda done: self._note(answer, done))
        return not isinstance(came, ConfigError)

    def _check(self, poll: Poll, came: FetchedResult, done: "asyncio.Future[int | None]") -> None:
        """Hand a finished answer on once it is safe in the database."""
        if done.cancelled() or done.exception() is not None:
            return
        message_id = done.result()
        if message_id is not None:
            kept = KeptMessage(
                poll.tenant_id, message_id, poll.assignment_id, poll.equipment_id, poll.run_number, "result", came.body
            )
            self._checker.put(Fetched(kept, came.result))

    def _note(self, answer: PollAnswer, done: "asyncio.Future[int | None]") -> None:
        if done.cancelled() or done.exception() is not None:
            return
        poll = answer.poll
        line = Line(poll.tenant_id, poll.equipment_id, poll.assignment_id, answer.kind)
        (self.report.went_well if answer.kind in ("queued", "running") else self.report.needs_a_look)(line)

    def _keep(self, session: Session, tenant_id: int, answers: list[PollAnswer]) -> list[int | None]:
        return keep_answers(session, tenant_id, self._actor, answers, owner=self._owner)

    async def _give_back(self, place: Place, works: Sequence[_Leased]) -> None:
        """Leave questions to an instrument that is left alone to the next run."""
        if not works:
            return
        await asyncio.to_thread(self._release, place[0], [work.poll.assignment_id for work in works])
        for work in works:
            self.report.needs_a_look(Line(*place, work.poll.assignment_id, "not asked"))

    def _release(self, tenant_id: int, assignment_ids: list[int]) -> None:
        with tenant_session(tenant_id) as session:
            release_polls(session, tenant_id, assignment_ids, owner=self._owner)


def _answer(poll: Poll, came: FetchedResult | LabwireError | None) -> PollAnswer:
    if came is None:
        return PollAnswer(poll, "forgotten", utc_now())
    if isinstance(came, LabwireError):
        return PollAnswer(poll, "unanswered", utc_now())
    return PollAnswer(poll, came.state, came.received_at, came.body)


async def _attempt(call: Awaitable[FetchedResult | None]) -> FetchedResult | LabwireError | None:
    try:
        return await call
    except LabwireError as error:
        return error
