"""The audit trail's writing side: every row carries an HMAC under a key the database does not know."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.kernel.clock import utc_now
from models.kernel.pipeline import Pipeline, Prepared
from models.kernel.settings import settings


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


# What the MAC of a row is computed from, in this order.
FIELDS = (
    *("tenant_id", "key", "occurred_at", "actor_kind", "actor_id", "actor_label", "action"),
    *("resource_type", "resource_id", "changes", "ip_address", "session_id"),
)


def record(session: Session, tenant_id: int, actor: Actor, action: Action) -> None:
    """Write one audit row in the running transaction."""
    record_many(session, tenant_id, actor, [action])


INSERT_TEXT = """
INSERT INTO audit_event (tenant_id, key, occurred_at, actor_kind, actor_id, actor_label, action, resource_type,
                         resource_id, changes, ip_address, session_id, mac)
SELECT :tenant_id, key, occurred_at, actor_kind, actor_id, actor_label, action, resource_type,
       resource_id, changes, ip_address, session_id, decode(mac, 'hex')
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
    key uuid, occurred_at timestamptz, actor_kind text, actor_id text, actor_label text, action text,
    resource_type text, resource_id text, changes jsonb, ip_address text, session_id text, mac text)
"""
INSERT = text(INSERT_TEXT)


PUT = Prepared(
    "audit_put", "bigint, jsonb", INSERT_TEXT.replace(":tenant_id", "$1").replace("CAST(:rows AS jsonb)", "$2")
)


def put_many(pipeline: Pipeline, tenant_id: int, deeds: Iterable[tuple[Actor, Action]]) -> None:
    """The same as `record`, with the next statements of a pipeline, for whoever did each."""
    now, key = utc_now(), settings().key("audit_key")
    rows = [_row(tenant_id, actor, action, now, key) for actor, action in deeds]
    pipeline.put(PUT, tenant_id, json.dumps(rows, default=_canonical))


def record_many(session: Session, tenant_id: int, actor: Actor, actions: Iterable[Action]) -> None:
    """Write one audit row per action, in order, with one statement."""
    now, key = utc_now(), settings().key("audit_key")
    rows = [_row(tenant_id, actor, action, now, key) for action in actions]
    if rows:
        session.flush()
        session.execute(INSERT, {"tenant_id": tenant_id, "rows": json.dumps(rows, default=_canonical)})


def mac_of(values: Sequence[Any], key: bytes) -> bytes:
    """HMAC-SHA-256 over the values of FIELDS in canonical JSON: the same before storing and when read back."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_canonical)
    return hmac.new(key, canonical.encode(), hashlib.sha256).digest()


def _row(tenant_id: int, actor: Actor, action: Action, now: datetime, key: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {
        "tenant_id": tenant_id,
        "key": uuid4(),
        "occurred_at": now,
        "actor_kind": actor.kind,
        "actor_id": _storable(actor.id),
        "actor_label": _storable(actor.label),
        "action": action.name,
        "resource_type": action.resource_type,
        "resource_id": _storable(str(action.resource_id)),
        "changes": _storable(action.changes),
        "ip_address": _storable(actor.ip_address),
        "session_id": _storable(actor.session_id),
    }
    row["mac"] = mac_of([row[field] for field in FIELDS], key).hex()
    return row


def _canonical(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in an audit row; give text")


def _storable(value: object) -> Any:
    """`value` as jsonb gives it back: no floats, no characters the database refuses, text for times and decimals."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, Mapping):
        return {_storable(str(name)): _storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_storable(inner) for inner in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, date | Decimal | UUID):
        return _canonical(value) if isinstance(value, datetime) else str(value)
    raise TypeError(f"{type(value).__name__} has no place in an audit row; give text")
