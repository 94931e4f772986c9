"""What instruments answered when asked for results: kept as it arrives, and waiting messages taken up to be checked."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments.rules import Status
from models.instruments.sending import next_poll_at
from models.instruments.stores.polls import Poll
from models.kernel.audit import Action, Actor, record_many

FORGOTTEN = "the instrument does not know this test (any more)"


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """What came of a question. `kind` is queued, running, finished (with the body), forgotten or unanswered."""

    poll: Poll
    kind: str
    at: datetime
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """A finished answer that is safe in the database and waits to be checked."""

    tenant_id: int
    id: int
    assignment_id: int
    equipment_id: int
    run_number: int
    kind: str
    body: bytes


# The same bytes fetched anew (a person asked for it) are the same row, to be checked anew.
KEEP = text("""
INSERT INTO instrument_message (tenant_id, equipment_id, assignment_id, run_number, kind, body, sha256, received_at)
SELECT :tenant_id, x.equipment_id, x.assignment_id, x.run_number, 'result', decode(x.body, 'base64'),
       sha256(decode(x.body, 'base64')), x.received_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
     AS x(equipment_id bigint, assignment_id bigint, run_number bigint, body text, received_at timestamptz)
ON CONFLICT ON CONSTRAINT instrument_message_once_key
DO UPDATE SET processed_at = NULL, received_at = EXCLUDED.received_at
RETURNING assignment_id, id
""")
# Only while the lease is ours: whoever took it over will have asked again.
UNFINISHED = text("""
UPDATE assignment a SET status = x.status, remarks = COALESCE(x.remarks, a.remarks),
       version = a.version + CASE WHEN x.status <> a.status THEN 1 ELSE 0 END,
       started_at = CASE WHEN x.status = 'I' THEN COALESCE(a.started_at, x.at) ELSE a.started_at END,
       last_polled_at = x.at, poll_lease_owner = NULL, poll_leased_until = NULL,
       next_poll_at = x.next_poll_at
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
     AS x(id bigint, was text, status text, remarks text, at timestamptz, next_poll_at timestamptz)
WHERE a.tenant_id = :tenant_id AND a.id = x.id AND a.poll_lease_owner = :owner AND a.status = x.was
RETURNING a.id, x.was, a.status
""")


def keep_answers(
    session: Session, tenant_id: int, actor: Actor, answers: Sequence[PollAnswer], *, owner: str
) -> list[int | None]:
    """Keep finished answers as they are and note what the others say; the kept messages' ids in the same order."""
    finished = [answer for answer in answers if answer.kind == "finished"]
    others = [answer for answer in answers if answer.kind != "finished"]
    ids: dict[int, int] = {}
    if finished:
        rows = json.dumps([_message(answer) for answer in finished])
        ids = {row[0]: row[1] for row in session.execute(KEEP, {"tenant_id": tenant_id, "rows": rows})}
    if others:
        values = {"tenant_id": tenant_id, "owner": owner, "rows": json.dumps([_unfinished(one) for one in others])}
        moved = [row for row in session.execute(UNFINISHED, values) if row.was != row.status]
        record_many(session, tenant_id, actor, [_moved(row) for row in moved])
    return [ids.get(answer.poll.assignment_id) if answer.kind == "finished" else None for answer in answers]


def _message(answer: PollAnswer) -> dict[str, Any]:
    return {
        "equipment_id": answer.poll.equipment_id,
        "assignment_id": answer.poll.assignment_id,
        "run_number": answer.poll.run_number,
        "body": b64encode(answer.body).decode(),
        "received_at": answer.at.isoformat(),
    }


def _unfinished(answer: PollAnswer) -> dict[str, Any]:
    status, remarks = answer.poll.status, None
    if answer.kind == "running":
        status = Status.IN_PROGRESS.value
    elif answer.kind == "forgotten":
        status, remarks = Status.FAILED.value, FORGOTTEN
    is_asked_again = answer.poll.is_asked_again and status != Status.FAILED
    return {
        "id": answer.poll.assignment_id,
        "was": answer.poll.status,
        "status": status,
        "remarks": remarks,
        "at": answer.at.isoformat(),
        "next_poll_at": next_poll_at(answer.at, answer.poll.queued_at).isoformat() if is_asked_again else None,
    }


def _moved(row: Any) -> Action:
    verb = "start" if row.status == Status.IN_PROGRESS else "fail"
    return Action(f"assignment.{verb}", "assignment", row.id, {"status": [row.was, row.status]})


# A message of a poll that is still under way will be checked by the run that fetched it.
WAITING = text("""
SELECT m.id, m.assignment_id, m.equipment_id, m.run_number, m.kind, m.body
FROM instrument_message m
JOIN assignment a ON a.tenant_id = m.tenant_id AND a.id = m.assignment_id
WHERE m.tenant_id = :tenant_id AND m.processed_at IS NULL
  AND (m.kind = 'push' OR a.poll_leased_until IS NULL OR a.poll_leased_until <= now())
  AND m.id > :after_id
ORDER BY m.id LIMIT :most
""")
TAKE_UP = text("""
SELECT id FROM instrument_message
WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND processed_at IS NULL ORDER BY id FOR UPDATE SKIP LOCKED
""")


def waiting_messages(session: Session, tenant_id: int, *, after_id: int = 0, most: int = 1000) -> list[KeptMessage]:
    """Messages that nobody is about to check: pushed ones, and those a killed run left behind."""
    values = {"tenant_id": tenant_id, "after_id": after_id, "most": most}
    return [
        KeptMessage(tenant_id, row.id, row.assignment_id, row.equipment_id, row.run_number, row.kind, bytes(row.body))
        for row in session.execute(WAITING, values)
    ]


def take_up(session: Session, tenant_id: int, message_ids: Sequence[int]) -> set[int]:
    """Lock those that still wait, so that each is completed once; those another run holds are left to it."""
    return set(session.scalars(TAKE_UP, {"tenant_id": tenant_id, "ids": list(message_ids)}))
