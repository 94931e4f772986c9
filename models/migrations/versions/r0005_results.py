"""What instruments answered, held results, results and their verification."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, registry_function, secure

revision = "0005"
down_revision = "0004"

TABLES = ("instrument_message", "held_result", "result", "verification")
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
    """What instruments answered, held results, results and their verification."""
    create_tables()
    protect()


def create_tables() -> None:
    """The tables and their indexes."""
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
    let_registry_read("patient", "tenant_id, id")
    let_registry_read("held_result", "tenant_id, id")
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
