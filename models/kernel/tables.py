"""Tables every area relies on: tenants, the audit trail and the outbox."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow

NOW = text("now()")


class Tenant(Base):
    """A laboratory or clinic: the boundary no row crosses. `time_zone` is an IANA name."""

    __tablename__ = "tenant"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AuditEvent(TenantRow, Base):
    """What was done, by whom, to what. Append-only; `mac` authenticates the row's content."""

    __tablename__ = "audit_event"
    __table_args__ = (
        UniqueConstraint("tenant_id", "key"),
        Index(None, "tenant_id", "resource_type", "resource_id", "id"),
        Index(None, "tenant_id", "occurred_at"),
        Index("audit_event_seal_index", "tenant_id", "transaction_id", "id"),
    )

    key: Mapped[UUID]
    occurred_at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    actor_label: Mapped[str]
    action: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str]
    changes: Mapped[dict[str, Any]]
    ip_address: Mapped[str | None]
    session_id: Mapped[str | None]
    transaction_id: Mapped[int] = mapped_column(server_default=text("(pg_current_xact_id()::text)::bigint"))
    mac: Mapped[bytes]


class AuditSeal(Base):
    """One link of a tenant's chain: position n covers one audit row and everything before it.

    `transaction_id` is the row's: the sealed rows' greatest tells where sealing goes on.
    """

    __tablename__ = "audit_seal"
    __table_args__ = (UniqueConstraint("tenant_id", "audit_id"),)

    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    audit_id: Mapped[int]
    transaction_id: Mapped[int]
    audit_mac: Mapped[bytes]
    chain: Mapped[bytes]
    sealed_at: Mapped[datetime] = mapped_column(server_default=NOW)


class OutboxEvent(TenantRow, Base):
    """Something that happened, written in the transaction in which it happened."""

    __tablename__ = "outbox_event"
    __table_args__ = (Index(None, "tenant_id", "entity"),)

    type: Mapped[str]
    entity: Mapped[str]
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Delivery(TenantRow, Base):
    """One event on its way to one destination (`mail`, `instrument:12`). Lower priority numbers go first.

    `sent_body` is what the first attempt sent, where every attempt must send the same bytes. `is_doubtful`: an attempt
    ended without an answer, so that it may have arrived. `reported_at` is when people were told that it needs one.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "event_id"], ["outbox_event.tenant_id", "outbox_event.id"]),
        UniqueConstraint("tenant_id", "event_id", "destination"),
        CheckConstraint("state IN ('due', 'leased', 'done', 'unknown', 'dead', 'skipped')", name="state"),
        Index(
            "delivery_open_index", "tenant_id", "next_attempt_at", postgresql_where=text("state IN ('due', 'leased')")
        ),
        Index(
            "delivery_order_index",
            *("tenant_id", "destination", "entity", "id"),
            postgresql_where=text("state NOT IN ('done', 'skipped')"),
        ),
        Index(
            "delivery_claim_index",
            *("tenant_id", "destination", "priority", "id"),
            postgresql_where=text("state IN ('due', 'leased')"),
        ),
        Index(None, "tenant_id", "state", "id"),
    )

    event_id: Mapped[int]
    destination: Mapped[str]
    entity: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("2"))
    is_ordered: Mapped[bool] = mapped_column(server_default=text("true"))
    state: Mapped[str] = mapped_column(server_default="due")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=NOW)
    lease_owner: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    last_answer: Mapped[str | None]
    sent_body: Mapped[bytes | None]
    is_doubtful: Mapped[bool] = mapped_column(server_default=text("false"))
    reported_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
