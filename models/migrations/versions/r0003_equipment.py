"""Departments, equipment and the test catalogue."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, secure

revision = "0003"
down_revision = "0002"

TABLES = (
    *("department", "equipment", "equipment_key", "equipment_check", "test_definition", "reference_range", "panel"),
    *("panel_test", "stale_notice", "idempotency_key"),
)


def upgrade() -> None:
    """Departments, equipment and the test catalogue."""
    create_tables()
    protect()


def create_tables() -> None:
    """The tables and their indexes."""
    op.create_table(
        "department",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("department_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("department_pkey")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("department_tenant_id_name_key")),
    )
    op.create_table(
        "panel",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("panel_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("panel_pkey")),
        sa.UniqueConstraint("tenant_id", "code", name=op.f("panel_tenant_id_code_key")),
    )
    op.create_table(
        "equipment",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("serial_number", sa.Text(), nullable=True),
        sa.Column("department_id", sa.BigInteger(), nullable=True),
        sa.Column("api_endpoint", sa.Text(), nullable=True),
        sa.Column("auth_header", sa.Text(), server_default="X-API-Key", nullable=False),
        sa.Column("is_idempotent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("supports_auto_fetch", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("timeout_seconds", sa.Numeric(), nullable=True),
        sa.Column("calibration_date", sa.Date(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("checked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("is_online", sa.Boolean(), nullable=True),
        sa.Column("queue_length", sa.BigInteger(), nullable=True),
        sa.Column("last_calibration_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('active', 'maintenance', 'inactive')", name=op.f("equipment_status_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "department_id"],
            ["department.tenant_id", "department.id"],
            name=op.f("equipment_tenant_id_department_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("equipment_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("equipment_pkey")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("equipment_tenant_id_name_key")),
        sa.UniqueConstraint("tenant_id", "serial_number", name=op.f("equipment_tenant_id_serial_number_key")),
    )
    op.create_table(
        "idempotency_key",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("idempotency_key_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("idempotency_key_pkey")),
        sa.UniqueConstraint("tenant_id", "scope", "key", name=op.f("idempotency_key_tenant_id_scope_key_key")),
    )
    op.create_table(
        "stale_notice",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("assignment_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "department_id"],
            ["department.tenant_id", "department.id"],
            name=op.f("stale_notice_tenant_id_department_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("stale_notice_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("stale_notice_pkey")),
        sa.UniqueConstraint(
            "tenant_id",
            "department_id",
            "day",
            name=op.f("stale_notice_tenant_id_department_id_day_key"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "equipment_check",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("equipment_id", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("is_online", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("queue_length", sa.BigInteger(), nullable=True),
        sa.Column("last_calibration_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("latency_milliseconds", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "equipment_id"],
            ["equipment.tenant_id", "equipment.id"],
            name=op.f("equipment_check_tenant_id_equipment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("equipment_check_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("equipment_check_pkey")),
    )
    op.create_index(
        op.f("equipment_check_tenant_id_equipment_id_checked_at_index"),
        "equipment_check",
        ["tenant_id", "equipment_id", "checked_at"],
        unique=False,
    )
    op.create_table(
        "equipment_key",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("equipment_id", sa.BigInteger(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("valid_from", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("valid_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "equipment_id"],
            ["equipment.tenant_id", "equipment.id"],
            name=op.f("equipment_key_tenant_id_equipment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("equipment_key_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("equipment_key_pkey")),
    )
    op.create_index(
        op.f("equipment_key_tenant_id_equipment_id_index"), "equipment_key", ["tenant_id", "equipment_id"], unique=False
    )
    op.create_table(
        "test_definition",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("loinc", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("specimen_type", sa.Text(), nullable=False),
        sa.Column("result_type", sa.Text(), server_default="numeric", nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("plausible_low", sa.Numeric(), nullable=True),
        sa.Column("plausible_high", sa.Numeric(), nullable=True),
        sa.Column("panic_low", sa.Numeric(), nullable=True),
        sa.Column("panic_high", sa.Numeric(), nullable=True),
        sa.Column("verification_levels", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=True),
        sa.Column("equipment_id", sa.BigInteger(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("result_type IN ('numeric', 'text')", name=op.f("test_definition_result_type_check")),
        sa.CheckConstraint(
            "verification_levels BETWEEN 1 AND 3", name=op.f("test_definition_verification_levels_check")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "department_id"],
            ["department.tenant_id", "department.id"],
            name=op.f("test_definition_tenant_id_department_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "equipment_id"],
            ["equipment.tenant_id", "equipment.id"],
            name=op.f("test_definition_tenant_id_equipment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("test_definition_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("test_definition_pkey")),
        sa.UniqueConstraint("tenant_id", "code", name=op.f("test_definition_tenant_id_code_key")),
    )
    op.create_table(
        "panel_test",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("panel_id", sa.BigInteger(), nullable=False),
        sa.Column("test_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "panel_id"], ["panel.tenant_id", "panel.id"], name=op.f("panel_test_tenant_id_panel_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "test_id"],
            ["test_definition.tenant_id", "test_definition.id"],
            name=op.f("panel_test_tenant_id_test_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("panel_test_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("panel_test_pkey")),
        sa.UniqueConstraint("tenant_id", "panel_id", "test_id", name=op.f("panel_test_tenant_id_panel_id_test_id_key")),
    )
    op.create_table(
        "reference_range",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("test_id", sa.BigInteger(), nullable=False),
        sa.Column("sex", sa.Text(), nullable=True),
        sa.Column("age_from_days", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("age_to_days", sa.BigInteger(), nullable=True),
        sa.Column("low", sa.Numeric(), nullable=True),
        sa.Column("high", sa.Numeric(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "test_id"],
            ["test_definition.tenant_id", "test_definition.id"],
            name=op.f("reference_range_tenant_id_test_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("reference_range_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("reference_range_pkey")),
    )
    op.create_index(
        op.f("reference_range_tenant_id_test_id_index"), "reference_range", ["tenant_id", "test_id"], unique=False
    )


def protect() -> None:
    """Row-level security and rights."""
    for table in TABLES:
        secure(table)
    for table in ("equipment", "department", "test_definition", "panel"):
        let_registry_read(table, "tenant_id, id")
