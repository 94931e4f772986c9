"""Checked results become assignments that are analysed, failed or held: a thousand at once, with few statements."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.instruments import rules
from models.instruments.result_rules import CheckedResult, Violation, flag_for, limits_for
from models.instruments.rules import Status
from models.instruments.stores import deliveries
from models.instruments.stores.expected import load_expected
from models.instruments.tables import HeldResult, Result
from models.instruments.values import ParsedValue, UnreadableValueError, parse_value, same_unit
from models.kernel.audit import Action, Actor, record_many

__all__ = ["Outcome", "complete_or_hold", "load_expected"]

AWAITED = frozenset({Status.PENDING, Status.UNKNOWN, Status.QUEUED, Status.IN_PROGRESS})
"""An instrument's answer is let through without a person only in these."""

UNSENT = frozenset({Status.PENDING, Status.UNKNOWN})
"""Has a submission that a pushed result makes needless."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message: completed, failed, held, or ignored (said already, or no longer asked for)."""

    assignment_id: int
    message_id: int
    what: str
    status: str


@dataclass(slots=True)
class _Locked:
    """An assignment as it is under our lock, kept up to date while a batch is decided."""

    status: str
    run_number: int
    last_version: int
    raw_value: str | None
    unit: str | None
    completed_at: datetime | None


LOCK = text("SELECT id FROM assignment WHERE tenant_id = :tenant_id AND id = ANY(:ids) ORDER BY id FOR UPDATE")
# A statement of its own, after the lock: one that had to wait for it would still see the results of before the wait.
LOCKED = text("""
SELECT a.id, a.status, a.run_number, COALESCE(r.version, 0), r.raw_value, r.unit, r.completed_at
FROM assignment a
LEFT JOIN LATERAL (
    SELECT x.version, x.raw_value, x.unit, x.completed_at FROM result x
    WHERE x.tenant_id = a.tenant_id AND x.assignment_id = a.id ORDER BY x.version DESC LIMIT 1
) r ON true
WHERE a.tenant_id = :tenant_id AND a.id = ANY(:ids)
""")
MOVE = text("""
UPDATE assignment a SET status = x.status, version = a.version + 1, remarks = COALESCE(x.remarks, a.remarks),
       analyzed_at = CASE WHEN x.status = 'A' THEN :now ELSE a.analyzed_at END,
       next_poll_at = NULL, poll_lease_owner = NULL, poll_leased_until = NULL
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x(id bigint, status text, remarks text)
WHERE a.tenant_id = :tenant_id AND a.id = x.id
""")
REPLACE = text(
    "UPDATE result SET is_current = false WHERE tenant_id = :tenant_id AND assignment_id = ANY(:ids) AND is_current"
)
PROCESSED = text("""
UPDATE instrument_message SET processed_at = :now
WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND processed_at IS NULL
""")


def complete_or_hold(
    session: Session, tenant_id: int, actor: Actor, checked: Sequence[CheckedResult], *, now: datetime
) -> list[Outcome]:
    """Move each assignment to analysed, failed or held by what was checked; the outcomes in the same order.

    Messages of an earlier run, or saying what is known already, are ignored. One that comes too late (the assignment
    has a result, failed or is held) is kept as held and moves nothing.
    """
    unsent = [one.expected.assignment_id for one in checked if one.expected.status in UNSENT]
    deliveries.lock_open(session, tenant_id, unsent)
    batch = _Batch(tenant_id, now, _lock(session, tenant_id, {one.expected.assignment_id for one in checked}))
    outcomes = [batch.decide(one) for one in checked]
    batch.write(session, actor, [one.message_id for one in checked])
    return outcomes


def _lock(session: Session, tenant_id: int, ids: Iterable[int]) -> dict[int, _Locked]:
    values = {"tenant_id": tenant_id, "ids": list(ids)}
    session.execute(LOCK, values)
    return {row[0]: _Locked(*row[1:]) for row in session.execute(LOCKED, values)}


class _Batch:
    """The rows that one call writes."""

    def __init__(self, tenant_id: int, now: datetime, locked: dict[int, _Locked]) -> None:
        self.tenant_id, self.now, self.locked = tenant_id, now, locked
        self.moves: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.held: list[dict[str, Any]] = []
        self.actions: list[Action] = []
        self.unsent: list[int] = []

    def decide(self, one: CheckedResult) -> Outcome:
        """Settle what becomes of one message and note the rows for it."""
        row = self.locked[one.expected.assignment_id]
        what = self._what(one, row)
        before = row.status
        changes: dict[str, Any] = {"message_id": one.message_id, "source": one.source}
        if what == "completed":
            changes["version"] = self._complete(one, row)
        elif what == "failed":
            self._move(one, row, Status.FAILED, remarks=(one.result.remarks if one.result else "") or "failed")
        elif what == "held":
            changes["rules"] = self._hold(one, row)
        if row.status != before:
            changes["status"] = [before, row.status]
        name = {"completed": "complete", "failed": "fail", "held": "hold", "ignored": "ignore"}[what]
        self.actions.append(Action(f"assignment.{name}", "assignment", one.expected.assignment_id, changes))
        return Outcome(one.expected.assignment_id, one.message_id, what, row.status)

    def _what(self, one: CheckedResult, row: _Locked) -> str:
        if one.run_number != row.run_number or row.status == Status.CANCELLED or _is_known(one, row):
            return "ignored"
        if one.violations:
            return "held"
        is_failure = one.result is not None and one.result.status == "failed"
        if row.status in AWAITED:
            return "failed" if is_failure else "completed"
        return "ignored" if is_failure else "held"

    def _move(self, one: CheckedResult, row: _Locked, target: Status, remarks: str | None = None) -> None:
        if row.status in UNSENT:
            self.unsent.append(one.expected.assignment_id)
        row.status = rules.move(row.status, target)
        self.moves.append({"id": one.expected.assignment_id, "status": row.status, "remarks": remarks})

    def _complete(self, one: CheckedResult, row: _Locked) -> int:
        self._move(one, row, Status.ANALYSED, remarks=one.result.remarks if one.result else None)
        row.last_version += 1
        self.results.append(result_row(self.tenant_id, one, version=row.last_version, now=self.now))
        return row.last_version

    def _hold(self, one: CheckedResult, row: _Locked) -> list[str]:
        violations = list(one.violations)
        if row.status in AWAITED:
            self._move(one, row, Status.HELD)
        else:
            message = f"the assignment was {Status(row.status).word} when this came"
            violations.append(Violation("state", "status", message))
        self.held.append(
            {
                "tenant_id": self.tenant_id,
                "assignment_id": one.expected.assignment_id,
                "message_id": one.message_id,
                "violations": [violation.as_json() for violation in violations],
            }
        )
        return [violation.rule for violation in violations]

    def write(self, session: Session, actor: Actor, message_ids: list[int]) -> None:
        """Write everything noted, one statement per table."""
        values: dict[str, Any] = {"tenant_id": self.tenant_id, "now": self.now}
        if self.moves:
            session.execute(MOVE, values | {"rows": json.dumps(self.moves)})
        if self.unsent:
            deliveries.skip_open(session, self.tenant_id, self.unsent, reason="a result came")
        if replaced := [row["assignment_id"] for row in self.results if row["version"] > 1]:
            session.execute(REPLACE, {"tenant_id": self.tenant_id, "ids": replaced})
        if self.results:
            session.execute(insert(Result), self.results)
        if self.held:
            hold_messages(session, self.held)
        session.execute(PROCESSED, values | {"ids": message_ids})
        record_many(session, self.tenant_id, actor, self.actions)


def hold_messages(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Keep messages as held. One that was held before (it was fetched again, or matched by a person) is open again."""
    statement = insert(HeldResult)
    again = {
        "assignment_id": statement.excluded.assignment_id,
        "violations": statement.excluded.violations,
        "state": "open",
        "held_at": text("now()"),
        "resolved_by": None,
        "resolved_at": None,
        "reason": None,
    }
    index = [HeldResult.tenant_id, HeldResult.message_id]
    session.execute(statement.on_conflict_do_update(index_elements=index, set_=again), rows)


def result_row(tenant_id: int, one: CheckedResult, *, version: int, now: datetime) -> dict[str, Any]:
    """The row of a result as the instrument gave it, with its flag and the limits that the flag was set from.

    One that a person lets through although its value does not parse has no number and no flag.
    """
    result = one.result
    if result is None:
        raise ValueError("an unreadable answer has no result")
    completed_at = result.completed_at
    if completed_at is None or completed_at.tzinfo is None:
        completed_at = now
    try:
        value = parse_value(result.value, one.expected.result_type)
    except UnreadableValueError:
        value = ParsedValue((result.value or "").strip(), None)
    limits = limits_for(one.expected, completed_at)
    has_unit = same_unit(result.unit or "", one.expected.unit)
    return {
        "tenant_id": tenant_id,
        "assignment_id": one.expected.assignment_id,
        "version": version,
        "run_number": one.run_number,
        "source": one.source,
        "raw_value": value.raw,
        "value": value.number,
        "unit": (result.unit or "").strip(),
        "flag": flag_for(value, limits) if has_unit else None,
        "range_low": limits.low,
        "range_high": limits.high,
        "panic_low": limits.panic_low,
        "panic_high": limits.panic_high,
        "quality_control": result.quality_control,
        "remarks": result.remarks or "",
        "completed_at": completed_at,
        "message_id": one.message_id,
    }


def _is_known(one: CheckedResult, row: _Locked) -> bool:
    """Whether the message says what the newest version of the result says already."""
    if one.result is None or row.status not in rules.FINISHED:
        return False
    said = ((one.result.value or "").strip(), (one.result.unit or "").strip(), one.result.completed_at)
    return said == (row.raw_value, row.unit, row.completed_at)
