"""Sending submissions: intents before, answers as they arrive, every instrument at its own pace."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from models.instruments.ports import Queued, UnreadableAnswerError
from models.instruments.rules import Status
from models.instruments.sending import next_attempt_at
from models.instruments.stores.submission_answers import TAKEN, Effect, apply_effects
from models.instruments.stores.submissions import Submission, Which, claim_submissions
from models.kernel import outbox
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, LabwireError, RefusedError, RetryableError, UnknownOutcomeError
from models.kernel.outbox import Answer
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from tasks.instruments.connections import CONNECTIONS, Connections
from tasks.instruments.lanes import Lanes, Place
from tasks.instruments.places import claim_at
from tasks.instruments.report import Line, Report
from tasks.ledger import Ledger, Outcome

LEFT_ALONE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one send came to: the delivery's answer, the assignment's change, and whether the instrument goes on."""

    answer: Answer
    effect: Effect | None
    word: str
    is_fine: bool = False
    goes_on: bool = True


class Sender:
    """One run's sending; `owner` is what its leases are held under, `actor` who the audit trail names."""

    def __init__(self, owner: str, actor: Actor, which: Which) -> None:
        self._owner, self._actor, self._which = owner, actor, which
        self._most_attempts = settings().submission_attempts
        self._taken: set[int] = set()
        self.report = Report()

    async def send(self, places: Sequence[Place]) -> Report:
        """Send all that is due at these places; returns when nothing more is."""
        async with Connections(places, width=CONNECTIONS) as connections, Ledger(self._owner, self._apply) as ledger:
            self._connections, self._ledger = connections, ledger
            for place, problem in connections.problems.items():
                self.report.needs_a_look(Line(*place, None, "instrument not callable"))
                self.report.tally.note(problem)
            lanes = Lanes(width=CONNECTIONS, claim=self._claim, serve=self._serve, give_back=self._give_back)
            await lanes.run(connections.places)
        return self.report

    def _claim(self, most: Mapping[Place, int]) -> list[tuple[Place, Submission]]:
        def claim(session: Session, tenant_id: int, wanted: Mapping[int, int]) -> list[Submission]:
            return claim_submissions(session, tenant_id, self._which, wanted, owner=self._owner)

        claimed = claim_at(most, claim)
        return [((one.leased.tenant_id, one.equipment_id), one) for one in claimed]

    async def _serve(self, work: Submission) -> bool:
        place = (work.leased.tenant_id, work.equipment_id)
        client = self._connections.client(place)
        if client.outside.breaker.open_seconds:
            await self._give_back(place, [work])
            return False
        if not await self._ledger.intend(work.leased):
            return True
        verdict = self._judge(work, await _attempt(client.queue(work.request)))
        self._ledger.answer(work.leased, verdict.answer, verdict.effect).add_done_callback(
            lambda written: self._note(work, verdict, written)
        )
        return verdict.goes_on

    def _note(self, work: Submission, verdict: _Verdict, written: "asyncio.Future[object]") -> None:
        """Count an outcome once it is in the database."""
        if written.cancelled() or written.exception() is not None or not written.result():
            return
        word, is_fine = verdict.word, verdict.is_fine
        if work.leased.id in self._taken:
            word, is_fine = "unknown", False
        line = Line(work.leased.tenant_id, work.equipment_id, work.assignment_id, word)
        (self.report.went_well if is_fine else self.report.needs_a_look)(line)

    def _judge(self, work: Submission, came: Queued | LabwireError) -> _Verdict:
        if isinstance(came, Queued):
            text = f"queued as {came.queue_id}"
            effect = self._effect(work, Status.QUEUED, queue_id=came.queue_id, queue_position=came.position)
            return _Verdict(Answer(work.leased.id, "done", text), effect, "queued", is_fine=True)
        if isinstance(came, RefusedError):
            return self._dead(work, str(came))
        if isinstance(came, UnreadableAnswerError):
            effect = self._effect(work, Status.UNKNOWN, remarks=str(came))
            return _Verdict(Answer(work.leased.id, "unknown", came.text, is_doubtful=True), effect, "unknown")
        known = self._connections.known((work.leased.tenant_id, work.equipment_id))
        if isinstance(came, UnknownOutcomeError) and not known.is_idempotent:
            effect = self._effect(work, Status.UNKNOWN, remarks=str(came))
            return _Verdict(Answer(work.leased.id, "unknown", str(came), is_doubtful=True), effect, "unknown")
        return self._again(work, came)

    def _again(self, work: Submission, came: LabwireError) -> _Verdict:
        """Due again after the back-off, or dead after the last attempt."""
        goes_on, is_doubtful = not isinstance(came, ConfigError), isinstance(came, UnknownOutcomeError)
        attempts = work.leased.attempts + 1
        if attempts >= self._most_attempts:
            why = f"{came}; given up after {attempts} attempts"
            return self._dead(work, why, goes_on=goes_on, is_doubtful=is_doubtful)
        wait = came.retry_after_seconds if isinstance(came, RetryableError) else None
        at = next_attempt_at(attempts, utc_now(), wait_seconds=wait)
        answer = Answer(work.leased.id, "due", f"attempt {attempts}: {came}", at, is_doubtful)
        return _Verdict(answer, None, "to be sent again", goes_on=goes_on)

    def _dead(self, work: Submission, why: str, *, goes_on: bool = True, is_doubtful: bool = False) -> _Verdict:
        effect = self._effect(work, Status.FAILED, remarks=why)
        answer = Answer(work.leased.id, "dead", why, is_doubtful=is_doubtful)
        return _Verdict(answer, effect, "failed", goes_on=goes_on)

    def _effect(
        self,
        work: Submission,
        target: Status,
        *,
        queue_id: str | None = None,
        queue_position: int | None = None,
        remarks: str = "",
    ) -> Effect:
        return Effect(work.assignment_id, work.equipment_id, target, queue_id, queue_position, remarks)

    def _apply(self, session: Session, tenant_id: int, outcomes: list[Outcome]) -> list[Answer]:
        effects = [outcome.effect for outcome in outcomes if outcome.effect is not None]
        taken = apply_effects(session, tenant_id, self._actor, effects, now=utc_now()) if effects else set()
        refused = [one.leased.id for one in outcomes if one.effect and one.effect.assignment_id in taken]
        self._taken.update(refused)
        return [Answer(delivery_id, "unknown", TAKEN, is_doubtful=True) for delivery_id in refused]

    async def _give_back(self, place: Place, works: Sequence[Submission]) -> None:
        """Make the claims of an instrument that is left alone due again for later, their attempts not counted."""
        if not works:
            return
        seconds = self._connections.client(place).outside.breaker.open_seconds or LEFT_ALONE_SECONDS
        await asyncio.to_thread(self._release, place[0], [work.leased.id for work in works], seconds)
        for work in works:
            self.report.needs_a_look(Line(*place, work.assignment_id, "not sent"))

    def _release(self, tenant_id: int, ids: list[int], seconds: float) -> None:
        at = utc_now() + timedelta(seconds=seconds)
        with tenant_session(tenant_id) as session:
            outbox.release(session, tenant_id, ids, owner=self._owner, next_attempt_at=at)


async def _attempt(call: Awaitable[Queued]) -> Queued | LabwireError:
    try:
        return await call
    except LabwireError as error:
        return error
