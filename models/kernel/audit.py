"""The audit trail's writing side: every row carries an HMAC under a key the database does not know."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID, uuid4

from sqlalchemy import insert
from sqlalchemy.orm import Session

from models.kernel.clock import utc_now
from models.kernel.settings import settings
from models.kernel.tables import AuditEvent


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `kind` is user, device, instrument, flow or system; `id` is ours, `label` says it to a reader."""

    kind: str
    id: str
    label: str
    ip_address: str | None = None
    session_id: str | None = None


SYSTEM = Actor("system", "labwire", "labwire")


@dataclass(frozen=True, slots=True)
class Action:
    """One audited deed: a verb such as `assignment.release`, the resource, and what changed (no floats)."""

    name: str
    resource_type: str
    resource_id: str | int
    changes: Mapping[str, Any]


class AuditContent(Protocol):
    """What the MAC of a row is computed from."""

    tenant_id: int
    key: UUID
    occurred_at: datetime
    actor_kind: str
    actor_id: str
    actor_label: str
    action: str
    resource_type: str
    resource_id: str
    changes: dict[str, Any]
    ip_address: str | None
    session_id: str | None


FIELDS = (
    *("tenant_id", "key", "occurred_at", "actor_kind", "actor_id", "actor_label", "action"),
    *("resource_type", "resource_id", "changes", "ip_address", "session_id"),
)


def record(session: Session, tenant_id: int, actor: Actor, action: Action) -> None:
    """Write one audit row in the running transaction."""
    record_many(session, tenant_id, actor, [action])


def record_many(session: Session, tenant_id: int, actor: Actor, actions: Iterable[Action]) -> None:
    """Write one audit row per action, in order, with one statement."""
    now = utc_now()
    rows = [_row(tenant_id, actor, action, now) for action in actions]
    if rows:
        session.execute(insert(AuditEvent), rows)


def mac_of(values: Sequence[Any], key: bytes) -> bytes:
    """HMAC-SHA-256 over the values of FIELDS in canonical JSON; floats are refused, for they do not come back equal."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_canonical)
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _row(tenant_id: int, actor: Actor, action: Action, now: datetime) -> dict[str, Any]:
    changes = dict(action.changes)
    _refuse_floats(changes)
    row: dict[str, Any] = {
        "tenant_id": tenant_id,
        "key": uuid4(),
        "occurred_at": now,
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_label": actor.label,
        "action": action.name,
        "resource_type": action.resource_type,
        "resource_id": str(action.resource_id),
        "changes": changes,
        "ip_address": actor.ip_address,
        "session_id": actor.session_id,
    }
    row["mac"] = mac_of([row[field] for field in FIELDS], settings().key("audit_key"))
    return row


def _canonical(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in an audit row; give text")


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("a float has no place in an audit row; give text")
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        _refuse_floats(inner)
