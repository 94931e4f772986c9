"""Devices with their keys and patients, readings, held readings, and what devices asked of us."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow, references
from models.kernel.tables import NOW


class Device(TenantRow, Base):
    """Something that measures a patient. `code` is the documented `device_id`; `time_zone` an IANA name.

    `silence_minutes`: people are told when nothing came for so long; None: nobody is.
    """

    __tablename__ = "device"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)

    code: Mapped[str]
    name: Mapped[str]
    device_type: Mapped[str]
    time_zone: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    silence_minutes: Mapped[int | None]
    rate_per_minute: Mapped[int | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class DevicePatient(TenantRow, Base):
    """Whose device it is, and from when until when: a reading belongs to the patient of its own time."""

    __tablename__ = "device_patient"
    __table_args__ = (
        references("device"),
        references("patient"),
        CheckConstraint("assigned_until > assigned_from", name="period"),
        Index(None, "tenant_id", "device_id", "assigned_from"),
        Index(None, "tenant_id", "patient_id"),
        Index(
            "device_patient_now_key",
            *("tenant_id", "device_id"),
            unique=True,
            postgresql_where=text("assigned_until IS NULL"),
        ),
    )

    device_id: Mapped[int]
    patient_id: Mapped[int]
    assigned_from: Mapped[datetime]
    assigned_until: Mapped[datetime | None]


class DeviceKey(TenantRow, Base):
    """What a device shows at the door; shown once, kept as SHA-256."""

    __tablename__ = "device_key"
    __table_args__ = (
        references("device"),
        UniqueConstraint("tenant_id", "key_hash"),
        Index(None, "tenant_id", "device_id"),
        Index(None, "key_hash"),  # looked up before the tenant is known
    )

    device_id: Mapped[int]
    name: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[bytes]
    can_write_vitals: Mapped[bool] = mapped_column(server_default=text("true"))
    can_read_patient: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class DeviceContact(Base):
    """When a device was last heard of, and how many readings it sent in that minute; updated with each group.

    No reading of it is later than `latest_at`, held ones included; `latest_before_at` is what that was before the last
    group, so that what is later than that need not be looked for.
    """

    __tablename__ = "device_contact"
    __table_args__ = (PrimaryKeyConstraint("tenant_id", "device_id"), references("device"))

    tenant_id: Mapped[int]
    device_id: Mapped[int]
    contact_at: Mapped[datetime]
    key_id: Mapped[int | None]
    reading_at: Mapped[datetime | None]
    battery_level: Mapped[int | None]
    signal_quality: Mapped[int | None]
    silence_told_at: Mapped[datetime | None]
    latest_at: Mapped[datetime | None]
    latest_before_at: Mapped[datetime | None]
    minute: Mapped[datetime | None]
    readings: Mapped[int] = mapped_column(server_default=text("0"))


class TenantRate(Base):
    """How many readings of a tenant came in one minute over one connection: so none waits for another to count."""

    __tablename__ = "tenant_rate"
    __table_args__ = (PrimaryKeyConstraint("tenant_id", "connection"),)

    tenant_id: Mapped[int]
    connection: Mapped[int]
    minute: Mapped[datetime]
    readings: Mapped[int]


class DeviceActivity(Base):
    """One request of a device, and what it was answered. Partitioned by month."""

    __tablename__ = "device_activity"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", "at"),
        Index(None, "tenant_id", "device_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    tenant_id: Mapped[int]
    id: Mapped[int] = mapped_column(server_default=text("nextval('device_activity_id_seq')"))
    at: Mapped[datetime]
    device_id: Mapped[int]
    key_id: Mapped[int]
    ip_address: Mapped[str | None]
    door: Mapped[str]
    status: Mapped[int]
    readings: Mapped[int]
    error: Mapped[str | None]


class VitalSign(Base):
    """One reading, in canonical units, with what was given beside it. Partitioned by month of `recorded_at`.

    `content` tells a repeated reading from a correction, which names the earlier one in `corrects_id`.
    `raw` is the reading as received, fields nobody knows included.
    """

    __tablename__ = "vital_sign"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "id", "recorded_at"),
        UniqueConstraint("tenant_id", "device_id", "recorded_at", "content"),
        references("device"),
        references("patient"),
        CheckConstraint("data_source IN ('manual', 'device')", name="data_source"),
        CheckConstraint("(data_source = 'device') = (device_id IS NOT NULL)", name="device"),
        Index(None, "tenant_id", "patient_id", "recorded_at"),
        {"postgresql_partition_by": "RANGE (recorded_at)"},
    )

    tenant_id: Mapped[int]
    id: Mapped[int] = mapped_column(server_default=text("nextval('vital_sign_id_seq')"))
    recorded_at: Mapped[datetime]
    received_at: Mapped[datetime]
    patient_id: Mapped[int]
    data_source: Mapped[str]
    device_id: Mapped[int | None]
    recorded_by: Mapped[int | None]
    recorded_by_nurse: Mapped[int | None]
    content: Mapped[bytes]
    corrects_id: Mapped[int | None]
    alerts_triggered: Mapped[int] = mapped_column(server_default=text("0"))
    heart_rate: Mapped[int | None]
    blood_pressure_systolic: Mapped[int | None]
    blood_pressure_diastolic: Mapped[int | None]
    temperature: Mapped[Decimal | None]
    temperature_given: Mapped[Decimal | None]
    temperature_unit: Mapped[str | None]
    respiratory_rate: Mapped[int | None]
    oxygen_saturation: Mapped[Decimal | None]
    glucose: Mapped[Decimal | None]
    glucose_given: Mapped[Decimal | None]
    glucose_unit: Mapped[str | None]
    weight: Mapped[Decimal | None]
    weight_given: Mapped[Decimal | None]
    weight_unit: Mapped[str | None]
    consciousness: Mapped[str | None]
    supplemental_oxygen: Mapped[bool | None]
    signal_quality: Mapped[int | None]
    battery_level: Mapped[int | None]
    notes: Mapped[str | None]
    raw: Mapped[str]


class HeldReading(TenantRow, Base):
    """A reading that a rule holds: not among the vital signs until a person releases it."""

    __tablename__ = "held_reading"
    __table_args__ = (
        references("device"),
        UniqueConstraint("tenant_id", "device_id", "recorded_at", "content"),
        Index("held_reading_open_index", "tenant_id", "id", postgresql_where=text("settled_at IS NULL")),
    )

    device_id: Mapped[int]
    recorded_at: Mapped[datetime]
    received_at: Mapped[datetime]
    content: Mapped[bytes]
    findings: Mapped[list[dict[str, Any]]]
    raw: Mapped[str]
    settled_at: Mapped[datetime | None]
    settlement: Mapped[str | None]


class VitalsPolicy(Base):
    """A tenant's own limits; a column that is empty means the usual one."""

    __tablename__ = "vitals_policy"
    __table_args__ = (PrimaryKeyConstraint("tenant_id"),)

    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    backfill_days: Mapped[int | None]
    device_rate_per_minute: Mapped[int | None]
    tenant_rate_per_minute: Mapped[int | None]
