"""Equipment, test catalogue, assignments and results."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, registry_function, secure

revision = "0003"
down_revision = "0002"

TABLES = (
    *("department", "equipment", "equipment_key", "equipment_check", "test_definition", "reference_range", "panel"),
    *("panel_test", "assignment", "result", "verification", "assignment_comment", "instrument_message"),
    *("held_result", "stale_notice", "idempotency_key"),
)
FOREIGN = (
    *("patient", "app_user", "assignment", "equipment", "department", "held_result", "test_definition", "panel"),
    *("delivery", "user_session", "api_token"),
)
TO_POLL = """
SELECT t.id FROM tenant t WHERE t.is_active AND (
    EXISTS (SELECT FROM assignment a WHERE a.tenant_id = t.id AND a.status IN ('Q', 'I') AND a.next_poll_at <= now())
    OR EXISTS (SELECT FROM instrument_message m WHERE m.tenant_id = t.id AND m.processed_at IS NULL)
)
"""


def upgrade() -> None:
    """Equipment, test catalogue, assignments and results."""
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
        "assignment",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("test_id", sa.BigInteger(), nullable=False),
        sa.Column("panel_id", sa.BigInteger(), nullable=True),
        sa.Column("equipment_id", sa.BigInteger(), nullable=True),
        sa.Column("department_id", sa.BigInteger(), nullable=True),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("run_number", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("priority", sa.Text(), server_default="routine", nullable=False),
        sa.Column("status", sa.Text(), server_default="P", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ordered_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("queue_id", sa.Text(), nullable=True),
        sa.Column("queue_position", sa.BigInteger(), nullable=True),
        sa.Column("queued_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("analyzed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("verified_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("released_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("remarks", sa.Text(), server_default="", nullable=False),
        sa.Column("next_poll_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("poll_lease_owner", sa.Text(), nullable=True),
        sa.Column("poll_leased_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_polled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("expiry_reported_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("stale_acknowledged_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("stale_acknowledged_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("priority IN ('routine', 'urgent', 'stat')", name=op.f("assignment_priority_check")),
        sa.CheckConstraint("status IN ('P','Q','I','A','V','R','U','F','H','C')", name=op.f("assignment_status_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "created_by"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("assignment_tenant_id_created_by_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "department_id"],
            ["department.tenant_id", "department.id"],
            name=op.f("assignment_tenant_id_department_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "equipment_id"],
            ["equipment.tenant_id", "equipment.id"],
            name=op.f("assignment_tenant_id_equipment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "panel_id"], ["panel.tenant_id", "panel.id"], name=op.f("assignment_tenant_id_panel_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "patient_id"],
            ["patient.tenant_id", "patient.id"],
            name=op.f("assignment_tenant_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "test_id"],
            ["test_definition.tenant_id", "test_definition.id"],
            name=op.f("assignment_tenant_id_test_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("assignment_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("assignment_pkey")),
        sa.UniqueConstraint(
            "tenant_id", "equipment_id", "queue_id", name=op.f("assignment_tenant_id_equipment_id_queue_id_key")
        ),
        sa.UniqueConstraint("tenant_id", "request_id", name=op.f("assignment_tenant_id_request_id_key")),
    )
    op.create_index(
        "assignment_poll_index",
        "assignment",
        ["tenant_id", "equipment_id", "next_poll_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('Q', 'I')"),
    )
    op.create_index(
        op.f("assignment_tenant_id_patient_id_test_id_index"),
        "assignment",
        ["tenant_id", "patient_id", "test_id"],
        unique=False,
    )
    op.create_index(
        op.f("assignment_tenant_id_sample_id_index"), "assignment", ["tenant_id", "sample_id"], unique=False
    )
    op.create_index(
        op.f("assignment_tenant_id_status_id_index"), "assignment", ["tenant_id", "status", "id"], unique=False
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
    op.create_table(
        "assignment_comment",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("assignment_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assignment_id"],
            ["assignment.tenant_id", "assignment.id"],
            name=op.f("assignment_comment_tenant_id_assignment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("assignment_comment_tenant_id_user_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("assignment_comment_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("assignment_comment_pkey")),
    )
    op.create_index(
        op.f("assignment_comment_tenant_id_assignment_id_index"),
        "assignment_comment",
        ["tenant_id", "assignment_id"],
        unique=False,
    )
    op.create_table(
        "instrument_message",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("equipment_id", sa.BigInteger(), nullable=False),
        sa.Column("assignment_id", sa.BigInteger(), nullable=True),
        sa.Column("run_number", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("processed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('result', 'push')", name=op.f("instrument_message_kind_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assignment_id"],
            ["assignment.tenant_id", "assignment.id"],
            name=op.f("instrument_message_tenant_id_assignment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "equipment_id"],
            ["equipment.tenant_id", "equipment.id"],
            name=op.f("instrument_message_tenant_id_equipment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("instrument_message_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("instrument_message_pkey")),
        sa.UniqueConstraint(
            "tenant_id",
            "equipment_id",
            "assignment_id",
            "run_number",
            "sha256",
            name="instrument_message_once_key",
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(
        "instrument_message_open_index",
        "instrument_message",
        ["tenant_id", "id"],
        unique=False,
        postgresql_where=sa.text("processed_at IS NULL"),
    )
    op.create_index(
        op.f("instrument_message_tenant_id_equipment_id_sha256_index"),
        "instrument_message",
        ["tenant_id", "equipment_id", "sha256"],
        unique=False,
    )
    op.create_table(
        "held_result",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("assignment_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("violations", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("held_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("resolved_by", sa.BigInteger(), nullable=True),
        sa.Column("resolved_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'released', 'corrected', 'refetched', 'discarded')", name=op.f("held_result_state_check")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assignment_id"],
            ["assignment.tenant_id", "assignment.id"],
            name=op.f("held_result_tenant_id_assignment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "message_id"],
            ["instrument_message.tenant_id", "instrument_message.id"],
            name=op.f("held_result_tenant_id_message_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "resolved_by"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("held_result_tenant_id_resolved_by_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("held_result_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("held_result_pkey")),
        sa.UniqueConstraint("tenant_id", "message_id", name=op.f("held_result_tenant_id_message_id_key")),
    )
    op.create_index(
        op.f("held_result_tenant_id_state_id_index"), "held_result", ["tenant_id", "state", "id"], unique=False
    )
    op.create_table(
        "result",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("assignment_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("run_number", sa.BigInteger(), nullable=False),
        sa.Column("is_current", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("raw_value", sa.Text(), nullable=False),
        sa.Column("value", sa.Numeric(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("flag", sa.Text(), nullable=True),
        sa.Column("range_low", sa.Numeric(), nullable=True),
        sa.Column("range_high", sa.Numeric(), nullable=True),
        sa.Column("panic_low", sa.Numeric(), nullable=True),
        sa.Column("panic_high", sa.Numeric(), nullable=True),
        sa.Column("quality_control", sa.Text(), nullable=True),
        sa.Column("remarks", sa.Text(), server_default="", nullable=False),
        sa.Column("completed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("entered_by", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("released_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("released_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("source IN ('instrument', 'push', 'manual')", name=op.f("result_source_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "assignment_id"],
            ["assignment.tenant_id", "assignment.id"],
            name=op.f("result_tenant_id_assignment_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "entered_by"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("result_tenant_id_entered_by_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "released_by"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("result_tenant_id_released_by_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "message_id"],
            ["instrument_message.tenant_id", "instrument_message.id"],
            name=op.f("result_tenant_id_message_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("result_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("result_pkey")),
        sa.UniqueConstraint(
            "tenant_id", "assignment_id", "version", name=op.f("result_tenant_id_assignment_id_version_key")
        ),
    )
    op.create_table(
        "verification",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("result_id", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("verified_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "result_id"],
            ["result.tenant_id", "result.id"],
            name=op.f("verification_tenant_id_result_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("verification_tenant_id_user_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("verification_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("verification_pkey")),
        sa.UniqueConstraint("tenant_id", "result_id", "level", name=op.f("verification_tenant_id_result_id_level_key")),
        sa.UniqueConstraint(
            "tenant_id", "result_id", "user_id", name=op.f("verification_tenant_id_result_id_user_id_key")
        ),
    )


def protect() -> None:
    """Row-level security, rights, and the functions that look across tenants."""
    for table in TABLES:
        secure(table)
    # ids are taken before the rows are written: the request id an instrument sees is made of them
    op.execute("GRANT USAGE ON SEQUENCE assignment_id_seq TO labwire_app")
    let_registry_read("patient", "tenant_id, id")
    let_registry_read("assignment", "tenant_id, id, status, next_poll_at, poll_leased_until")
    for table in ("equipment", "department", "held_result", "test_definition", "panel"):
        let_registry_read(table, "tenant_id, id")
    let_registry_read("instrument_message", "tenant_id, id, processed_at")
    registry_function("registry_tenants_to_poll()", "SETOF bigint", TO_POLL)
    branches = "".join(
        f"WHEN '{table}' THEN EXISTS (SELECT FROM {table} x WHERE x.tenant_id = t.id AND x.id = p_id) "
        for table in FOREIGN
    )
    registry_function(
        "registry_exists(p_resource text, p_id bigint)",
        "boolean",
        f"SELECT EXISTS (SELECT FROM tenant t WHERE CASE p_resource {branches} ELSE false END)",
    )
