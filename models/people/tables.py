"""Users, their sessions and tokens, and patients."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow
from models.kernel.tables import NOW


def _of_user(column: str = "user_id") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id", column], ["app_user.tenant_id", "app_user.id"])


class User(TenantRow, Base):
    """Somebody who signs in. Without a password hash only a password reset lets them in."""

    __tablename__ = "app_user"
    __table_args__ = (
        UniqueConstraint("tenant_id", "email"),
        CheckConstraint("email = lower(email)", name="email"),
        Index(None, "email"),  # looked up before the tenant is known
    )

    email: Mapped[str]
    name: Mapped[str]
    roles: Mapped[list[str]]
    password_hash: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    failed_logins: Mapped[int] = mapped_column(server_default=text("0"))
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class UserSession(TenantRow, Base):
    """A browser that is signed in; the cookie's token is kept only as SHA-256."""

    __tablename__ = "user_session"
    __table_args__ = (
        _of_user(),
        UniqueConstraint("tenant_id", "token_hash"),
        Index(None, "tenant_id", "user_id"),
        Index(None, "token_hash"),  # looked up before the tenant is known
    )

    user_id: Mapped[int]
    token_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ip_address: Mapped[str | None]
    user_agent: Mapped[str | None]


class ApiToken(TenantRow, Base):
    """A token for programs: prefix to recognise it, SHA-256 to check it. Without a user it is an instrument's own."""

    __tablename__ = "api_token"
    __table_args__ = (
        _of_user(),
        ForeignKeyConstraint(["tenant_id", "equipment_id"], ["equipment.tenant_id", "equipment.id"]),
        CheckConstraint("num_nonnulls(user_id, equipment_id) >= 1", name="owner"),
        UniqueConstraint("tenant_id", "token_hash"),
        Index(None, "tenant_id", "user_id"),
        Index(None, "tenant_id", "equipment_id"),
        Index(None, "token_hash"),  # looked up before the tenant is known
    )

    user_id: Mapped[int | None]
    name: Mapped[str]
    prefix: Mapped[str]
    token_hash: Mapped[bytes]
    scopes: Mapped[list[str]]
    equipment_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class PasswordReset(TenantRow, Base):
    """A one-time link to set a password."""

    __tablename__ = "password_reset"
    __table_args__ = (_of_user(), UniqueConstraint("tenant_id", "token_hash"), Index(None, "token_hash"))

    user_id: Mapped[int]
    token_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Patient(TenantRow, Base):
    """A patient under the code the laboratory uses. A merged one points to the record that remains."""

    __tablename__ = "patient"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code"),
        ForeignKeyConstraint(["tenant_id", "merged_into_id"], ["patient.tenant_id", "patient.id"]),
        CheckConstraint("sex IN ('female', 'male', 'other', 'unknown')", name="sex"),
        Index(None, "tenant_id", "family_name"),
        # every result is compared with the codes of all records merged into its patient's
        Index(
            "patient_merged_index",
            *("tenant_id", "merged_into_id"),
            postgresql_where=text("merged_into_id IS NOT NULL"),
        ),
    )

    code: Mapped[str]
    family_name: Mapped[str]
    given_names: Mapped[str]
    sex: Mapped[str] = mapped_column(server_default="unknown")
    birth_date: Mapped[date | None]
    email: Mapped[str | None]
    is_report_mailed: Mapped[bool] = mapped_column(server_default=text("false"))
    merged_into_id: Mapped[int | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PatientIdentifier(TenantRow, Base):
    """A patient's number in another system (national id, insurance, another hospital)."""

    __tablename__ = "patient_identifier"
    __table_args__ = (
        UniqueConstraint("tenant_id", "system", "value"),
        ForeignKeyConstraint(["tenant_id", "patient_id"], ["patient.tenant_id", "patient.id"]),
        Index(None, "tenant_id", "patient_id"),
    )

    patient_id: Mapped[int]
    system: Mapped[str]
    value: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
