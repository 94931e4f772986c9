"""Departments, equipment, assignments and their results. The test catalogue is in catalogue_tables.py."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow, references
from models.kernel.tables import NOW


class Department(TenantRow, Base):
    """A section of the laboratory; `email` receives its notices."""

    __tablename__ = "department"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str]
    email: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))


class Equipment(TenantRow, Base):
    """An instrument. The last four columns hold what its latest status check said."""

    __tablename__ = "equipment"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("tenant_id", "serial_number"),
        references("department"),
        CheckConstraint("status IN ('active', 'maintenance', 'inactive')", name="status"),
    )

    name: Mapped[str]
    model: Mapped[str]
    serial_number: Mapped[str | None]
    department_id: Mapped[int | None]
    api_endpoint: Mapped[str | None]
    auth_header: Mapped[str] = mapped_column(server_default="X-API-Key")
    is_idempotent: Mapped[bool] = mapped_column(server_default=text("false"))
    supports_auto_fetch: Mapped[bool] = mapped_column(server_default=text("false"))
    status: Mapped[str] = mapped_column(server_default="active")
    timeout_seconds: Mapped[Decimal | None]
    calibration_date: Mapped[date | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    checked_at: Mapped[datetime | None]
    is_online: Mapped[bool | None]
    queue_length: Mapped[int | None]
    last_calibration_at: Mapped[datetime | None]


class EquipmentKey(TenantRow, Base):
    """A key the hub shows to an instrument, encrypted. Two may be valid at once while it is changed over."""

    __tablename__ = "equipment_key"
    __table_args__ = (references("equipment"), Index(None, "tenant_id", "equipment_id"))

    equipment_id: Mapped[int]
    secret: Mapped[bytes]
    valid_from: Mapped[datetime] = mapped_column(server_default=NOW)
    valid_until: Mapped[datetime | None]


class EquipmentCheck(TenantRow, Base):
    """One status check: the history uptime is counted from."""

    __tablename__ = "equipment_check"
    __table_args__ = (references("equipment"), Index(None, "tenant_id", "equipment_id", "checked_at"))

    equipment_id: Mapped[int]
    checked_at: Mapped[datetime]
    is_online: Mapped[bool]
    status: Mapped[str]
    queue_length: Mapped[int | None]
    last_calibration_at: Mapped[datetime | None]
    latency_milliseconds: Mapped[int | None]


class Assignment(TenantRow, Base):
    """One test to be done on one sample. `version` grows with every change: a stale page is refused.

    `ordered_at` is when the present run was ordered: no result of it can be older.
    """

    __tablename__ = "assignment"
    __table_args__ = (
        references("patient"),
        references("test_definition", "test_id"),
        references("panel"),
        references("equipment"),
        references("department"),
        ForeignKeyConstraint(["tenant_id", "created_by"], ["app_user.tenant_id", "app_user.id"]),
        UniqueConstraint("tenant_id", "request_id"),
        UniqueConstraint("tenant_id", "equipment_id", "queue_id"),
        CheckConstraint("status IN ('P','Q','I','A','V','R','U','F','H','C')", name="status"),
        CheckConstraint("priority IN ('routine', 'urgent', 'stat')", name="priority"),
        Index(None, "tenant_id", "status", "id"),
        Index(None, "tenant_id", "sample_id"),
        Index(None, "tenant_id", "patient_id", "test_id"),
        Index(
            "assignment_poll_index",
            *("tenant_id", "equipment_id", "next_poll_at"),
            postgresql_where=text("status IN ('Q', 'I')"),
        ),
    )

    patient_id: Mapped[int]
    test_id: Mapped[int]
    panel_id: Mapped[int | None]
    equipment_id: Mapped[int | None]
    department_id: Mapped[int | None]
    sample_id: Mapped[str]
    request_id: Mapped[str]
    run_number: Mapped[int] = mapped_column(server_default=text("1"))
    priority: Mapped[str] = mapped_column(server_default="routine")
    status: Mapped[str] = mapped_column(server_default="P")
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    ordered_at: Mapped[datetime] = mapped_column(server_default=NOW)
    queue_id: Mapped[str | None]
    queue_position: Mapped[int | None]
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    analyzed_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    released_at: Mapped[datetime | None]
    remarks: Mapped[str] = mapped_column(server_default="")
    next_poll_at: Mapped[datetime | None]
    poll_lease_owner: Mapped[str | None]
    poll_leased_until: Mapped[datetime | None]
    last_polled_at: Mapped[datetime | None]
    expiry_reported_at: Mapped[datetime | None]
    stale_acknowledged_at: Mapped[datetime | None]
    stale_acknowledged_by: Mapped[int | None]


class Result(TenantRow, Base):
    """One version of an assignment's result; a correction is a new version and the old one stays.

    `raw_value` is as received. Ranges are kept as they were when the flag was set. The version that was released last
    is what doctors see, until a correction of it is released in turn.
    """

    __tablename__ = "result"
    __table_args__ = (
        references("assignment"),
        references("instrument_message", "message_id"),
        ForeignKeyConstraint(["tenant_id", "entered_by"], ["app_user.tenant_id", "app_user.id"]),
        ForeignKeyConstraint(["tenant_id", "released_by"], ["app_user.tenant_id", "app_user.id"]),
        UniqueConstraint("tenant_id", "assignment_id", "version"),
        CheckConstraint("source IN ('instrument', 'push', 'manual')", name="source"),
    )

    assignment_id: Mapped[int]
    version: Mapped[int]
    run_number: Mapped[int]
    is_current: Mapped[bool] = mapped_column(server_default=text("true"))
    source: Mapped[str]
    raw_value: Mapped[str]
    value: Mapped[Decimal | None]
    unit: Mapped[str]
    flag: Mapped[str | None]
    range_low: Mapped[Decimal | None]
    range_high: Mapped[Decimal | None]
    panic_low: Mapped[Decimal | None]
    panic_high: Mapped[Decimal | None]
    quality_control: Mapped[str | None]
    remarks: Mapped[str] = mapped_column(server_default="")
    completed_at: Mapped[datetime]
    entered_by: Mapped[int | None]
    message_id: Mapped[int | None]
    reason: Mapped[str | None]
    released_at: Mapped[datetime | None]
    released_by: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Verification(TenantRow, Base):
    """One level of verification of one result version; each level by another person."""

    __tablename__ = "verification"
    __table_args__ = (
        references("result"),
        references("app_user", "user_id"),
        UniqueConstraint("tenant_id", "result_id", "level"),
        UniqueConstraint("tenant_id", "result_id", "user_id"),
    )

    result_id: Mapped[int]
    level: Mapped[int] = mapped_column(SmallInteger)
    user_id: Mapped[int]
    note: Mapped[str] = mapped_column(server_default="")
    verified_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AssignmentComment(TenantRow, Base):
    """What somebody wrote beside an assignment."""

    __tablename__ = "assignment_comment"
    __table_args__ = (
        references("assignment"),
        references("app_user", "user_id"),
        Index(None, "tenant_id", "assignment_id"),
    )

    assignment_id: Mapped[int]
    user_id: Mapped[int]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class InstrumentMessage(TenantRow, Base):
    """A finished answer or pushed result exactly as received. The same bytes for the same assignment are one row."""

    __tablename__ = "instrument_message"
    __table_args__ = (
        references("equipment"),
        references("assignment"),
        UniqueConstraint(
            *("tenant_id", "equipment_id", "assignment_id", "run_number", "sha256"),
            name="instrument_message_once_key",
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint("kind IN ('result', 'push')", name="kind"),
        Index("instrument_message_open_index", "tenant_id", "id", postgresql_where=text("processed_at IS NULL")),
        Index(None, "tenant_id", "equipment_id", "sha256"),
    )

    equipment_id: Mapped[int]
    assignment_id: Mapped[int | None]
    run_number: Mapped[int | None]
    kind: Mapped[str]
    body: Mapped[bytes]
    sha256: Mapped[bytes]
    received_at: Mapped[datetime]
    processed_at: Mapped[datetime | None]


class HeldResult(TenantRow, Base):
    """A result that was not let through, with the rules that hold it: [{rule, field, message}]."""

    __tablename__ = "held_result"
    __table_args__ = (
        references("assignment"),
        references("instrument_message", "message_id"),
        ForeignKeyConstraint(["tenant_id", "resolved_by"], ["app_user.tenant_id", "app_user.id"]),
        UniqueConstraint("tenant_id", "message_id"),
        CheckConstraint("state IN ('open', 'released', 'corrected', 'refetched', 'discarded')", name="state"),
        Index(None, "tenant_id", "state", "id"),
    )

    assignment_id: Mapped[int | None]
    message_id: Mapped[int]
    violations: Mapped[list[dict[str, Any]]]
    state: Mapped[str] = mapped_column(server_default="open")
    held_at: Mapped[datetime] = mapped_column(server_default=NOW)
    resolved_by: Mapped[int | None]
    resolved_at: Mapped[datetime | None]
    reason: Mapped[str | None]


class StaleNotice(TenantRow, Base):
    """That a department was mailed about its open assignments on a day: the mail is not repeated that day."""

    __tablename__ = "stale_notice"
    __table_args__ = (
        references("department"),
        UniqueConstraint("tenant_id", "department_id", "day", postgresql_nulls_not_distinct=True),
    )

    department_id: Mapped[int | None]
    day: Mapped[date]
    assignment_count: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
