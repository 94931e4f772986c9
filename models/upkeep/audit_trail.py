"""The audit trail as people search it: each row with whether it is sealed and genuine."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from models.kernel.tables import AuditEvent, AuditSeal
from models.kernel.verify import is_row_genuine


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows; empty fields mean all. `action` and `actor` are matched from their beginning, `actor` by label."""

    actor: str = ""
    action: str = ""
    resource_type: str = ""
    resource_id: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One audit row. `position` is its place in the sealed chain, None while it waits; `is_genuine`: its MAC fits."""

    id: int
    occurred_at: datetime
    actor_kind: str
    actor_label: str
    action: str
    resource_type: str
    resource_id: str
    changes: dict[str, Any]
    ip_address: str | None
    session_id: str | None
    position: int | None
    is_genuine: bool


def list_audit(
    session: Session, tenant_id: int, wanted: AuditFilter, *, limit: int = 50, before_id: int | None = None
) -> list[AuditRow]:
    """The newest first; `before_id` goes on behind the last row of the page before."""
    sealed = and_(AuditSeal.tenant_id == AuditEvent.tenant_id, AuditSeal.audit_id == AuditEvent.id)
    found = (
        select(AuditEvent, AuditSeal.position, AuditSeal.audit_mac)
        .outerjoin(AuditSeal, sealed)
        .where(*_conditions(tenant_id, wanted))
        .order_by(AuditEvent.id.desc())
        .limit(limit)
    )
    if before_id is not None:
        found = found.where(AuditEvent.id < before_id)
    return [_row(event, position, mac) for event, position, mac in session.execute(found).tuples()]


def _row(event: AuditEvent, position: int | None, sealed_mac: bytes | None) -> AuditRow:
    return AuditRow(
        id=event.id,
        occurred_at=event.occurred_at,
        actor_kind=event.actor_kind,
        actor_label=event.actor_label,
        action=event.action,
        resource_type=event.resource_type,
        resource_id=event.resource_id,
        changes=event.changes,
        ip_address=event.ip_address,
        session_id=event.session_id,
        position=position,
        is_genuine=is_row_genuine(event) and sealed_mac in (None, event.mac),
    )


def _conditions(tenant_id: int, wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [AuditEvent.tenant_id == tenant_id]
    if wanted.actor:
        conditions.append(AuditEvent.actor_label.startswith(wanted.actor, autoescape=True))
    if wanted.action:
        conditions.append(AuditEvent.action.startswith(wanted.action, autoescape=True))
    if wanted.resource_type:
        conditions.append(AuditEvent.resource_type == wanted.resource_type)
    if wanted.resource_id:
        conditions.append(AuditEvent.resource_id == wanted.resource_id)
    if wanted.since is not None:
        conditions.append(AuditEvent.occurred_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(AuditEvent.occurred_at < wanted.until)
    return conditions
