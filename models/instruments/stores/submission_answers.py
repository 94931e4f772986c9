"""What a submission's answer does to its assignment, many at once; and submissions whose sender was killed."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments import rules
from models.instruments.rules import Status
from models.kernel.audit import Action, Actor, record_many

TAKEN = "the instrument gave an id that another assignment has already"


@dataclass(frozen=True, slots=True)
class Effect:
    """What an answer says about an assignment: queued under an id, failed, or unknown. `remarks` hold no values."""

    assignment_id: int
    equipment_id: int
    target: Status
    queue_id: str | None = None
    queue_position: int | None = None
    remarks: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """An interrupted send and the state its delivery was given: due, unknown or dead."""

    assignment_id: int
    equipment_id: int
    state: str


LOCK = text("""
SELECT a.id, a.status, COALESCE(e.supports_auto_fetch, false) AS is_polled, EXISTS (
    SELECT FROM assignment o WHERE o.tenant_id = a.tenant_id AND o.equipment_id = x.equipment_id
    AND o.queue_id = x.queue_id AND o.id <> a.id) AS is_taken
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS x(id bigint, equipment_id bigint, queue_id text)
JOIN assignment a ON a.tenant_id = :tenant_id AND a.id = x.id
LEFT JOIN equipment e ON e.tenant_id = a.tenant_id AND e.id = x.equipment_id
ORDER BY a.id FOR UPDATE OF a
""")
MOVE = text("""
UPDATE assignment a SET status = x.status, version = a.version + 1, remarks = x.remarks,
       queue_id = COALESCE(x.queue_id, a.queue_id), queue_position = x.queue_position,
       queued_at = CASE WHEN x.status = 'Q' THEN :now ELSE a.queued_at END,
       next_poll_at = CASE WHEN x.status = 'Q' AND x.is_polled THEN :now END
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
     AS x(id bigint, status text, remarks text, queue_id text, queue_position bigint, is_polled boolean)
WHERE a.tenant_id = :tenant_id AND a.id = x.id
""")


def apply_effects(
    session: Session, tenant_id: int, actor: Actor, effects: Sequence[Effect], *, now: datetime
) -> set[int]:
    """Move the assignments that still wait for their answer, with one audit row each.

    Returned are the assignments that become `unknown` after all, because the id they were given is another's.
    """
    locked = _lock(session, tenant_id, effects)
    given: set[tuple[int, str]] = set()
    refused: set[int] = set()
    moves: list[dict[str, Any]] = []
    actions: list[Action] = []
    for effect in effects:
        row = locked[effect.assignment_id]
        target, remarks, queue_id = effect.target, effect.remarks, effect.queue_id
        if queue_id is not None and (row.is_taken or (effect.equipment_id, queue_id) in given):
            refused.add(effect.assignment_id)
            target, remarks, queue_id = Status.UNKNOWN, TAKEN, None
        elif queue_id is not None:
            given.add((effect.equipment_id, queue_id))
        changes: dict[str, Any] = {"equipment_id": effect.equipment_id}
        if queue_id is not None:
            changes["queue_id"] = queue_id
        if rules.may_move(row.status, target):
            changes["status"] = [row.status, target.value]
            moves.append(_move(effect, target, remarks, queue_id, is_polled=row.is_polled))
        actions.append(Action(f"assignment.{VERBS[target]}", "assignment", effect.assignment_id, changes))
    if moves:
        session.execute(MOVE, {"tenant_id": tenant_id, "now": now, "rows": json.dumps(moves)})
    record_many(session, tenant_id, actor, actions)
    return refused


VERBS = {Status.QUEUED: "queue", Status.FAILED: "fail", Status.UNKNOWN: "unknown"}


def _lock(session: Session, tenant_id: int, effects: Iterable[Effect]) -> dict[int, Any]:
    rows = [{"id": e.assignment_id, "equipment_id": e.equipment_id, "queue_id": e.queue_id} for e in effects]
    found = session.execute(LOCK, {"tenant_id": tenant_id, "rows": json.dumps(rows)})
    return {row.id: row for row in found}


def _move(effect: Effect, target: Status, remarks: str, queue_id: str | None, *, is_polled: bool) -> dict[str, Any]:
    return {
        "id": effect.assignment_id,
        "status": target.value,
        "remarks": remarks,
        "queue_id": queue_id,
        "queue_position": effect.queue_position if queue_id is not None else None,
        "is_polled": is_polled,
    }


INTERRUPTED = text("""
SELECT d.id, d.attempts, COALESCE(e.is_idempotent, false) AS is_idempotent,
       CAST(split_part(d.entity, ':', 2) AS bigint) AS assignment_id,
       CAST(split_part(d.destination, ':', 2) AS bigint) AS equipment_id
FROM delivery d
LEFT JOIN equipment e
       ON e.tenant_id = d.tenant_id AND e.id = CAST(split_part(d.destination, ':', 2) AS bigint)
WHERE d.tenant_id = :tenant_id AND starts_with(d.destination, 'instrument:')
  AND (d.state = 'leased' AND d.leased_until <= now() AND d.sent_at IS NOT NULL
       OR d.state = 'due' AND d.is_doubtful AND NOT COALESCE(e.is_idempotent, false))
ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
""")
SETTLE = text("""
UPDATE delivery SET state = :state, lease_owner = NULL, leased_until = NULL, next_attempt_at = now(),
       is_doubtful = true,
       last_answer = CASE WHEN state = 'leased' THEN 'interrupted after the request went out' ELSE last_answer END
WHERE tenant_id = :tenant_id AND id = ANY(:ids)
""")
UNKNOWN_REMARKS = "the instrument was asked and did not answer: it may be queued there"
EXHAUSTED_REMARKS = "the hub was interrupted at every attempt to send this"


def settle_interrupted(
    session: Session, tenant_id: int, actor: Actor, *, most_attempts: int, now: datetime
) -> list[Settled]:
    """End the sends whose process was killed meanwhile: each becomes due, unknown or dead.

    Due again, under the same key, where the instrument honours keys; elsewhere a person decides, also about those that
    wait to be repeated there since before it stopped honouring keys. A submission that was interrupted on its last
    attempt is dead: what kills its sender must not do so for ever.
    """
    found = session.execute(INTERRUPTED, {"tenant_id": tenant_id}).all()
    by_state: dict[str, list[Any]] = {}
    for row in found:
        state = "unknown" if not row.is_idempotent else "due" if row.attempts < most_attempts else "dead"
        by_state.setdefault(state, []).append(row)
    for state, rows in by_state.items():
        session.execute(SETTLE, {"tenant_id": tenant_id, "state": state, "ids": [row.id for row in rows]})
    effects = [
        Effect(row.assignment_id, row.equipment_id, Status.UNKNOWN, remarks=UNKNOWN_REMARKS)
        for row in by_state.get("unknown", ())
    ]
    effects += [
        Effect(row.assignment_id, row.equipment_id, Status.FAILED, remarks=EXHAUSTED_REMARKS)
        for row in by_state.get("dead", ())
    ]
    if effects:
        apply_effects(session, tenant_id, actor, effects, now=now)
    return [Settled(row.assignment_id, row.equipment_id, state) for state, rows in by_state.items() for row in rows]
