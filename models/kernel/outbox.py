"""The outbox: events written with the change they tell of, and one delivery per destination.

A delivery is `due`, then `leased` by one run, and ends as `done`, `unknown` (sent, no answer seen), `dead` (attempts
used up or refused) or `skipped`. Intent (`sent_at`) is committed before a request goes out; a lease that expires
without it is simply taken over, one that expires with it was interrupted, and is settled by `settle_interrupted`.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.kernel.tables import Delivery, OutboxEvent

REPLAYABLE = ("dead", "unknown", "done", "skipped")
SKIPPABLE = ("dead", "unknown")
LEASE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Route:
    """Where an event goes. Lower priority numbers first; ordered routes keep the order of one entity's events."""

    destination: str
    priority: int = 2
    is_ordered: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `entity` (`assignment:789`), to be told along `routes`."""

    type: str
    entity: str
    payload: dict[str, Any]
    routes: Sequence[Route]


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery that one run may send now; `attempts` counts the sends before this one.

    `body` is kept with the first intent where it is given: whoever makes bodies sends the kept one on later attempts.
    """

    tenant_id: int
    id: int
    event_id: int
    destination: str
    entity: str
    attempts: int
    type: str
    payload: dict[str, Any]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a send. `state` is done, due (again at `next_attempt_at`), unknown or dead.

    `is_doubtful`: no answer came, so that it may have arrived; it stays so until a person decides.
    """

    delivery_id: int
    state: str
    text: str
    next_attempt_at: datetime | None = None
    is_doubtful: bool = False


def publish(session: Session, tenant_id: int, event: Event) -> int:
    """Write the event and its deliveries in the running transaction; the event's id."""
    return publish_many(session, tenant_id, [event])[0]


def publish_many(session: Session, tenant_id: int, events: Sequence[Event]) -> list[int]:
    """Write several events and their deliveries with two statements; the events' ids in the same order."""
    if not events:
        return []
    rows = [{"tenant_id": tenant_id, "type": e.type, "entity": e.entity, "payload": e.payload} for e in events]
    statement = insert(OutboxEvent).returning(OutboxEvent.id, sort_by_parameter_order=True)
    ids = list(session.scalars(statement, rows))
    deliveries = [
        {
            "tenant_id": tenant_id,
            "event_id": event_id,
            "destination": route.destination,
            "entity": event.entity,
            "priority": route.priority,
            "is_ordered": route.is_ordered,
        }
        for event_id, event in zip(ids, events, strict=True)
        for route in event.routes
    ]
    if deliveries:
        session.execute(insert(Delivery), deliveries)
    return ids


def tenants_with_due(session: Session, destination: str) -> list[int]:
    """Tenants with something to send or take over at destinations that begin with `destination` (registry session)."""
    return list(session.scalars(text("SELECT registry_tenants_with_due(:prefix)"), {"prefix": destination}))


# Asked row by row on purpose: as joins these take time by the square of what is due while statistics are stale.
CLAIM = text("""
WITH pick AS (
    SELECT d.id FROM delivery d
    WHERE d.tenant_id = :tenant_id AND starts_with(d.destination, :prefix)
      AND (d.state = 'due' AND d.next_attempt_at <= now()
           OR d.state = 'leased' AND d.leased_until <= now() AND d.sent_at IS NULL)
      AND (NOT d.is_ordered OR d.id = (
            SELECT min(e.id) FROM delivery e
            WHERE e.tenant_id = d.tenant_id AND e.destination = d.destination AND e.entity = d.entity
              AND e.state NOT IN ('done', 'skipped')))
    ORDER BY d.priority, d.id LIMIT :most FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE delivery d SET state = 'leased', lease_owner = :owner, sent_at = NULL,
           leased_until = now() + make_interval(secs => :lease_seconds)
    WHERE d.tenant_id = :tenant_id AND d.id = ANY(ARRAY(SELECT id FROM pick)) RETURNING d.*
)
SELECT t.tenant_id, t.id, t.event_id, t.destination, t.entity, t.attempts, e.type, e.payload
FROM taken t CROSS JOIN LATERAL (
    SELECT o.type, o.payload FROM outbox_event o WHERE o.tenant_id = t.tenant_id AND o.id = t.event_id OFFSET 0
) e
ORDER BY t.priority, t.id
""")


def claim(session: Session, tenant_id: int, destination: str, *, owner: str, most: int = 500) -> list[Leased]:
    """Lease up to `most` due deliveries to destinations that begin with `destination`, most urgent first."""
    values = {"tenant_id": tenant_id, "prefix": destination, "owner": owner, "most": most}
    rows = session.execute(CLAIM, values | {"lease_seconds": LEASE_SECONDS})
    return [Leased(*row) for row in rows]


RELEASE = text("""
UPDATE delivery SET state = 'due', lease_owner = NULL, leased_until = NULL,
       next_attempt_at = COALESCE(CAST(:next_attempt_at AS timestamptz), next_attempt_at)
WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND state = 'leased' AND lease_owner = :owner AND sent_at IS NULL
RETURNING id
""")


def release(
    session: Session, tenant_id: int, ids: Sequence[int], *, owner: str, next_attempt_at: datetime | None = None
) -> set[int]:
    """Give claims back unsent, their attempts not counted: due again at once or at `next_attempt_at`."""
    values = {"tenant_id": tenant_id, "ids": list(ids), "owner": owner, "next_attempt_at": next_attempt_at}
    return set(session.scalars(RELEASE, values)) if ids else set()


INTEND = text("""
UPDATE delivery SET sent_at = clock_timestamp(), attempts = attempts + 1,
       sent_body = COALESCE(sent_body, decode(CAST(:bodies AS jsonb) ->> CAST(id AS text), 'base64')),
       leased_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND state = 'leased' AND lease_owner = :owner RETURNING id
""")


def intend(
    session: Session, tenant_id: int, ids: Sequence[int], *, owner: str, bodies: Mapping[int, bytes] | None = None
) -> set[int]:
    """Record that these are about to be sent; commit before sending. Those whose lease was lost are left out.

    `bodies` (by id) are kept where none is kept yet.
    """
    kept = json.dumps({number: b64encode(body).decode() for number, body in (bodies or {}).items()})
    values = {"tenant_id": tenant_id, "ids": list(ids), "owner": owner, "lease_seconds": LEASE_SECONDS}
    return set(session.scalars(INTEND, values | {"bodies": kept}))


STILL_OURS = text("""
SELECT id FROM delivery
WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND state = 'leased' AND lease_owner = :owner ORDER BY id FOR UPDATE
""")


def still_ours(session: Session, tenant_id: int, ids: Sequence[int], *, owner: str) -> set[int]:
    """Which of these we still hold; they are locked, so they stay ours until the transaction ends."""
    return set(session.scalars(STILL_OURS, {"tenant_id": tenant_id, "ids": list(ids), "owner": owner}))


ANSWER = text("""
UPDATE delivery d SET state = a.state, last_answer = a.text, answered_at = clock_timestamp(), lease_owner = NULL,
       leased_until = NULL, next_attempt_at = COALESCE(a.next_attempt_at, d.next_attempt_at),
       is_doubtful = d.is_doubtful OR a.is_doubtful
FROM jsonb_to_recordset(CAST(:answers AS jsonb))
     AS a(id bigint, state text, text text, next_attempt_at timestamptz, is_doubtful boolean)
WHERE d.tenant_id = :tenant_id AND d.id = a.id AND d.state = 'leased' AND d.lease_owner = :owner RETURNING d.id
""")


def record_answers(session: Session, tenant_id: int, answers: Iterable[Answer], *, owner: str) -> set[int]:
    """Write what came of sends, with one statement; the ids of those that were still ours."""
    rows = [
        {
            "id": answer.delivery_id,
            "state": answer.state,
            "text": answer.text[:500],
            "next_attempt_at": answer.next_attempt_at.isoformat() if answer.next_attempt_at else None,
            "is_doubtful": answer.is_doubtful,
        }
        for answer in answers
    ]
    values = {"tenant_id": tenant_id, "answers": json.dumps(rows), "owner": owner}
    return set(session.scalars(ANSWER, values)) if rows else set()


SETTLE = text("""
UPDATE delivery SET state = CASE WHEN attempts < :most_attempts THEN :state ELSE :last_state END,
       lease_owner = NULL, leased_until = NULL, last_answer = 'interrupted after the request went out',
       is_doubtful = true,
       next_attempt_at = now() + CASE WHEN attempts < 3 THEN interval '0 s'
           ELSE LEAST(power(3, LEAST(attempts, 20) - 3) * interval '1 min', CAST(:longest_pause AS interval)) END
WHERE tenant_id = :tenant_id AND starts_with(destination, :prefix)
  AND state = 'leased' AND leased_until <= now() AND sent_at IS NOT NULL
RETURNING id, entity
""")
NO_LIMIT = 2**31 - 1
AT_ONCE = timedelta(0)


def settle_interrupted(
    session: Session,
    tenant_id: int,
    destination: str,
    *,
    may_resend: bool,
    most_attempts: int = NO_LIMIT,
    longest_pause: timedelta = AT_ONCE,
) -> list[tuple[int, str]]:
    """End expired leases whose send was interrupted: due again where the receiver drops doubles, else unknown.

    A delivery that was interrupted on its last attempt is dead: what kills its sender must not do so for ever. From
    its third attempt on it goes again after 1, 3, 9 minutes and so on, `longest_pause` at most: nor time after time.
    """
    state, last_state = ("due", "dead") if may_resend else ("unknown", "unknown")
    values = {"tenant_id": tenant_id, "prefix": destination, "state": state, "last_state": last_state}
    rows = session.execute(SETTLE, values | {"most_attempts": most_attempts, "longest_pause": longest_pause})
    return [(row.id, row.entity) for row in rows]


def replay(session: Session, tenant_id: int, delivery_id: int, *, actor: Actor) -> Delivery:
    """Make one finished delivery due again, with its attempts counted anew; ConflictError while it is under way.

    Who replays an unknown one has decided that it did not arrive. It is sent as it was sent before.
    """
    delivery = _locked(session, tenant_id, delivery_id)
    if delivery.state not in REPLAYABLE:
        raise ConflictError(f"delivery {delivery_id} is {delivery.state}; only a finished one can be replayed")
    _audit(session, delivery, actor, "delivery.replay", {"state": [delivery.state, "due"]})
    delivery.is_doubtful = delivery.is_doubtful and delivery.state != "unknown"
    delivery.state = "due"
    delivery.attempts = 0
    delivery.sent_at = delivery.reported_at = None
    delivery.next_attempt_at = text("now()")  # type: ignore[assignment]  # the database's clock, as everywhere here
    session.flush()
    return delivery


def skip(session: Session, tenant_id: int, delivery_id: int, *, reason: str, actor: Actor) -> Delivery:
    """Give up a dead or unknown delivery, so that later ones of its entity may go; the reason is kept as its answer."""
    reason = reason.strip()
    if not reason:
        raise InvalidError("a reason is needed", field="reason")
    delivery = _locked(session, tenant_id, delivery_id)
    if delivery.state not in SKIPPABLE:
        raise ConflictError(f"delivery {delivery_id} is {delivery.state}; only a dead or unknown one can be skipped")
    _audit(session, delivery, actor, "delivery.skip", {"state": [delivery.state, "skipped"], "reason": reason})
    delivery.state = "skipped"
    delivery.last_answer = f"skipped: {reason}"
    session.flush()
    return delivery


def _audit(session: Session, delivery: Delivery, actor: Actor, action: str, changes: dict[str, Any]) -> None:
    about = {"destination": delivery.destination, "entity": delivery.entity, **changes}
    record(session, delivery.tenant_id, actor, Action(action, "delivery", delivery.id, about))


def _locked(session: Session, tenant_id: int, delivery_id: int) -> Delivery:
    wanted = select(Delivery).where(Delivery.tenant_id == tenant_id, Delivery.id == delivery_id).with_for_update()
    delivery = session.scalar(wanted)
    if delivery is None:
        raise NotFoundError(f"no delivery {delivery_id}", resource="delivery", resource_id=delivery_id)
    return delivery
