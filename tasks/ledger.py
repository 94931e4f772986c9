"""Intents and answers of many sends at once, committed in few transactions.

An intent is committed before its request goes out, an answer at most 0.5 s or 50 answers after it came: a process
that is killed leaves only the requests in flight unknown.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sqlalchemy.orm import Session

from models.kernel import outbox
from models.kernel.outbox import Answer, Leased
from tasks.group_writer import GroupWriter, Written

INTENT_WITHIN_SECONDS = 0.01
ANSWER_WITHIN_SECONDS = 0.5
MOST_ANSWERS = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one send; `effect` is what the hook needs to know besides."""

    leased: Leased
    answer: Answer
    effect: Any = None


Apply = Callable[[Session, int, list[Outcome]], Iterable[Answer] | None]


class Ledger:
    """The one writer of a run's intents and answers; `owner` is the name its deliveries were claimed under.

    `apply(session, tenant_id, outcomes)` writes what else changes with these answers, in their transaction and bound
    to their tenant. It sees only outcomes whose lease is still ours, and may return answers that replace those given.
    """

    def __init__(self, owner: str, apply: Apply | None = None) -> None:
        self._owner = owner
        self._apply = apply
        self._writer: GroupWriter[Leased | Outcome] = GroupWriter(self._write, most=MOST_ANSWERS)

    def intend(self, leased: Leased) -> Written:
        """To be awaited before sending: False when the lease was lost, and then nothing may be sent."""
        return self._writer.put(leased.tenant_id, leased, within_seconds=INTENT_WITHIN_SECONDS)

    def answer(self, leased: Leased, answer: Answer, effect: Any = None) -> Written:
        """Record what came of a send; awaited it says whether the lease was still ours. It need not be awaited."""
        outcome = Outcome(leased, answer, effect)
        return self._writer.put(leased.tenant_id, outcome, within_seconds=ANSWER_WITHIN_SECONDS)

    async def __aenter__(self) -> Self:
        await self._writer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits; raises the first error of a write nobody awaited."""
        await self._writer.__aexit__(kind, error, trace)

    def _write(self, session: Session, tenant_id: int, items: list[Leased | Outcome]) -> list[bool]:
        intents = [item for item in items if isinstance(item, Leased)]
        outcomes = [item for item in items if isinstance(item, Outcome)]
        ours: set[int] = set()
        if intents:
            bodies = {leased.id: leased.body for leased in intents if leased.body is not None}
            ids = [leased.id for leased in intents]
            ours |= outbox.intend(session, tenant_id, ids, owner=self._owner, bodies=bodies)
        if outcomes:
            ours |= self._record(session, tenant_id, outcomes)
        return [(item.id if isinstance(item, Leased) else item.leased.id) in ours for item in items]

    def _record(self, session: Session, tenant_id: int, outcomes: list[Outcome]) -> set[int]:
        if self._apply is None:
            return outbox.record_answers(session, tenant_id, [each.answer for each in outcomes], owner=self._owner)
        ids = [outcome.leased.id for outcome in outcomes]
        ours = outbox.still_ours(session, tenant_id, ids, owner=self._owner)
        kept = [outcome for outcome in outcomes if outcome.leased.id in ours]
        replaced = {answer.delivery_id: answer for answer in self._apply(session, tenant_id, kept) or ()}
        answers = [replaced.get(outcome.leased.id, outcome.answer) for outcome in kept]
        return outbox.record_answers(session, tenant_id, answers, owner=self._owner)
