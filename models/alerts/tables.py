"""Alerts, what happened to them, whom a tenant tells and when, its own limits, and what patients were asked."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, PrimaryKeyConstraint, text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow, references
from models.kernel.tables import NOW


class Alert(TenantRow, Base):
    """Something abnormal about a patient: at most one is open for each kind, whatever opens it.

    `next_step_at` is when it goes on by itself, None when it does not. Until `ladder_from` is set that is the end of
    the patient's time to answer; afterwards it is when step number `next_step` of the ladder is due. `round` counts
    how often the ladder began. `seen_at` is the time of the newest reading, `value` the worst one.
    """

    __tablename__ = "alert"
    __table_args__ = (
        references("patient"),
        references("app_user", "acknowledged_by"),
        references("app_user", "closed_by"),
        CheckConstraint("level IN ('warning', 'critical')", name="level"),
        CheckConstraint("ending IN ('recovered', 'closed', 'merged')", name="ending"),
        CheckConstraint("(closed_at IS NULL) = (ending IS NULL)", name="closed"),
        Index(
            "alert_open_key",
            *("tenant_id", "patient_id", "kind"),
            unique=True,
            postgresql_where=text("closed_at IS NULL"),
        ),
        Index("alert_due_index", "tenant_id", "next_step_at", postgresql_where=text("next_step_at IS NOT NULL")),
        Index(None, "tenant_id", "patient_id", "kind", "id"),
    )

    patient_id: Mapped[int]
    kind: Mapped[str]
    level: Mapped[str]
    value: Mapped[Decimal]
    unit: Mapped[str]
    vital_sign_id: Mapped[int | None]
    opened_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ladder_from: Mapped[datetime | None]
    round: Mapped[int] = mapped_column(server_default=text("0"))
    next_step: Mapped[int] = mapped_column(server_default=text("0"))
    next_step_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[int | None]
    read_back: Mapped[str | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[int | None]
    ending: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class AlertEvent(TenantRow, Base):
    """One thing that happened to an alert. `step`: the step of the ladder it did, which no round does twice."""

    __tablename__ = "alert_event"
    __table_args__ = (
        references("alert"),
        Unique("tenant_id", "alert_id", "round", "step"),
        Index(None, "tenant_id", "alert_id", "id"),
    )

    alert_id: Mapped[int]
    at: Mapped[datetime]
    name: Mapped[str]
    level: Mapped[str]
    vital_sign_id: Mapped[int | None]
    user_id: Mapped[int | None]
    round: Mapped[int]
    step: Mapped[int | None]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class AlertThreshold(TenantRow, Base):
    """Limits of a tenant's own, or of one patient's; an empty limit is the usual one."""

    __tablename__ = "alert_threshold"
    __table_args__ = (
        references("patient"),
        Unique("tenant_id", "patient_id", "kind", postgresql_nulls_not_distinct=True),
    )

    patient_id: Mapped[int | None]
    kind: Mapped[str]
    warning: Mapped[Decimal | None]
    critical: Mapped[Decimal | None]
    margin: Mapped[Decimal | None]
    is_on: Mapped[bool] = mapped_column(server_default=text("true"))
    version: Mapped[int] = mapped_column(server_default=text("1"))


class AlertPolicy(Base):
    """A tenant's ladder: steps as `{"after_minutes": 10, "roles": ["emergency"]}`, and how long a patient may think."""

    __tablename__ = "alert_policy"
    __table_args__ = (PrimaryKeyConstraint("tenant_id"),)

    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    ladder: Mapped[list[dict[str, Any]]]
    question_minutes: Mapped[int]
    critical_skips_question: Mapped[bool]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class AlertContact(TenantRow, Base):
    """Somebody a step of the ladder tells."""

    __tablename__ = "alert_contact"
    __table_args__ = (
        CheckConstraint("role IN ('doctor', 'nurse', 'emergency')", name="role"),
        Unique("tenant_id", "role", "address"),
    )

    role: Mapped[str]
    name: Mapped[str]
    address: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AlertQuestion(TenantRow, Base):
    """What a patient was asked by a one-time link, kept as SHA-256, and the one answer."""

    __tablename__ = "alert_question"
    __table_args__ = (
        references("alert"),
        CheckConstraint("answer IN ('yes', 'no', 'help')", name="answer"),
        CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name="answered"),
        Unique("tenant_id", "token_hash"),
        Index(None, "token_hash"),  # looked up before the tenant is known
        Index(None, "tenant_id", "alert_id"),
    )

    alert_id: Mapped[int]
    token_hash: Mapped[bytes]
    asked_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    answer: Mapped[str | None]
    answered_at: Mapped[datetime | None]
