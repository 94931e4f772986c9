"""Kept answers are checked, by row rules and as a batch, and completed or held."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.exc import OperationalError

from models.instruments.result_rules import CheckedResult, ExpectedResult, Violation, check_result, parse_result
from models.instruments.schemas import InstrumentResult
from models.instruments.stores.expected import load_expected
from models.instruments.stores.poll_answers import KeptMessage, take_up
from models.instruments.stores.results import Outcome, complete_or_hold
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.tenancy import group_session, switch_tenant
from models.upkeep.quality import record_validation
from tasks.instruments.gate import judge
from tasks.instruments.report import Line, Report
from tasks.runs import described

log = structlog.get_logger(__name__)

MOST = 500
"""Messages checked together; one look of the suite costs the same for 50 and for 1,000."""
MOST_WAITING = 4 * MOST
WITHIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Fetched:
    """A kept message, already read."""

    message: KeptMessage
    result: InstrumentResult | Violation


def complete(fetched: Sequence[Fetched], actor: Actor) -> Report:
    """Check these messages and complete or hold each once; those another run has taken up are left to it."""
    by_tenant: dict[int, list[Fetched]] = defaultdict(list)
    for one in fetched:
        by_tenant[one.message.tenant_id].append(one)
    now = utc_now()
    checked: dict[int, list[CheckedResult]] = {}
    with group_session() as session:
        for tenant_id, ones in by_tenant.items():
            switch_tenant(session, tenant_id)
            expected = load_expected(session, tenant_id, {one.message.assignment_id for one in ones})
            checked[tenant_id] = [_checked(one, expected[one.message.assignment_id]) for one in ones]
    judged = judge(checked, now)
    report = Report()
    with group_session() as session:
        for tenant_id, ones in by_tenant.items():
            switch_tenant(session, tenant_id)
            ours = take_up(session, tenant_id, [one.message.id for one in ones])
            mine = [judged.results[one.message.id] for one in ones if one.message.id in ours]
            if not mine:
                continue
            outcomes = complete_or_hold(session, tenant_id, actor, mine, now=now)
            if validation := judged.validations.get(tenant_id):
                record_validation(session, tenant_id, actor, validation)
            _note(report, tenant_id, mine, outcomes)
    return report


def read(messages: Iterable[KeptMessage]) -> list[Fetched]:
    """Messages from the database, read anew."""
    return [Fetched(message, parse_result(message.body)) for message in messages]


def _checked(one: Fetched, expected: ExpectedResult) -> CheckedResult:
    source = "push" if one.message.kind == "push" else "instrument"
    if isinstance(one.result, Violation):
        return CheckedResult(expected, one.message.run_number, one.message.id, source, None, (one.result,))
    violations = check_result(expected, one.result, utc_now()) if one.result.status == "completed" else []
    return CheckedResult(expected, one.message.run_number, one.message.id, source, one.result, tuple(violations))


def _note(report: Report, tenant_id: int, checked: Sequence[CheckedResult], outcomes: Sequence[Outcome]) -> None:
    for one, outcome in zip(checked, outcomes, strict=True):
        line = Line(tenant_id, one.expected.equipment_id or 0, outcome.assignment_id, outcome.what)
        (report.went_well if outcome.what in ("completed", "ignored") else report.was_caught)(line)


def complete_surely(fetched: Sequence[Fetched], actor: Actor) -> Report:
    """Complete these messages; one that makes the rest fail stays behind alone, for the next run, and is told of."""
    try:
        return complete(fetched, actor)
    except OperationalError:
        raise  # the database, not a message
    except Exception as error:  # noqa: BLE001  # halved until it is one message, which is then named
        if len(fetched) > 1:
            half = len(fetched) // 2
            return complete_surely(fetched[:half], actor).merge(complete_surely(fetched[half:], actor))
        message = fetched[0].message
        log.error("a message could not be checked", message_id=message.id, error=described(error))
        report = Report()
        report.needs_a_look(Line(message.tenant_id, message.equipment_id, message.assignment_id, "not checked"))
        return report


class Checker:
    """Completes what it is handed, in a thread: as soon as `MOST` wait, or within half a second.

    Whoever awaits `room` before fetching more keeps what waits, and the memory for it, within bounds.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._waiting: list[Fetched] = []
        self._changed = asyncio.Event()
        self._is_closing = False
        self._room = asyncio.Event()
        self.report = Report()

    def put(self, fetched: Fetched) -> None:
        """Have this checked and completed soon, at the latest when the `async with` ends."""
        self._waiting.append(fetched)
        if len(self._waiting) in (1, MOST):
            self._changed.set()

    async def room(self) -> None:
        """Return when fewer than `MOST_WAITING` wait to be checked, or nobody checks any more."""
        while len(self._waiting) >= MOST_WAITING and not self._task.done():
            self._room.clear()
            await self._room.wait()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._room.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing = True
        self._changed.set()
        await self._task

    async def _run(self) -> None:
        while self._waiting or not self._is_closing:
            await self._changed.wait()
            if not self._is_closing and len(self._waiting) < MOST:
                await self._fill()
            batch, self._waiting = self._waiting, []
            self._room.set()
            if not self._is_closing:
                self._changed.clear()
            if batch:
                self.report.merge(await asyncio.to_thread(complete_surely, batch, self._actor))

    async def _fill(self) -> None:
        """Wait a little for company."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), WITHIN_SECONDS)
        except TimeoutError:
            return
