"""Two people at the same record: the later one is refused, and shown what the other did."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.kernel.errors import ConflictError
from models.kernel.tables import AuditEvent

MOST_READ = 200
"""Changes of one record that are looked through for those since a version was read."""


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What happened to a record since a version of it was read. `changes` has [then, now] of each field."""

    who: tuple[str, ...]
    at: datetime
    changes: dict[str, list[Any]]


def refuse_stale(*, seen: int, present: int, what: str) -> None:
    """ConflictError when the record is not in the version that was read."""
    if seen != present:
        message = f"{what} was changed since it was read: you have version {seen}, it is at version {present} by now"
        raise ConflictError(message, field="version")


def changed_since(session: Session, tenant_id: int, resource: str, resource_id: int, version: int) -> Meanwhile | None:
    """What others made of the record since `version`, from the audit trail; None where nothing is noted."""
    wanted = (
        select(AuditEvent)
        .where(
            AuditEvent.tenant_id == tenant_id,
            AuditEvent.resource_type == resource,
            AuditEvent.resource_id == str(resource_id),
        )
        .order_by(AuditEvent.id.desc())
        .limit(MOST_READ)
    )
    later = [row for row in session.scalars(wanted) if _version_after(row.changes) > version]
    if not later:
        return None
    changes: dict[str, list[Any]] = {}
    for row in reversed(later):
        for name, pair in row.changes.items():
            if name != "version" and isinstance(pair, list) and len(pair) == 2:
                changes[name] = [changes[name][0] if name in changes else pair[0], pair[1]]
    who = tuple(dict.fromkeys(row.actor_label for row in later))
    return Meanwhile(who, later[0].occurred_at, changes)


def _version_after(changes: dict[str, Any]) -> int:
    """The version a change made; 0 for what is no numbered change."""
    pair = changes.get("version")
    return pair[1] if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], int) else 0
