"""Data Docs: what the validations of batches found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, registry_function, secure

revision = "0007"
down_revision = "0006"

FOREIGN = (
    *("patient", "app_user", "assignment", "equipment", "department", "held_result", "test_definition", "panel"),
    *("delivery", "user_session", "api_token", "quality_check"),
)


def upgrade() -> None:
    """The table, and its ids among those that can be told to be another tenant's."""
    op.create_table(
        "quality_check",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("validated_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("flow_run_id", sa.Text(), nullable=False),
        sa.Column("is_met", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("failed_rows", sa.BigInteger(), nullable=False),
        sa.Column("expectations", sa.BigInteger(), nullable=False),
        sa.Column("failed_expectations", sa.BigInteger(), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("quality_check_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("quality_check_pkey")),
    )
    op.create_index(
        op.f("quality_check_tenant_id_suite_is_met_id_index"), "quality_check", ["tenant_id", "suite", "is_met", "id"]
    )
    secure("quality_check")
    let_registry_read("quality_check", "tenant_id, id")
    op.execute("DROP FUNCTION registry_exists(text, bigint)")
    branches = "".join(
        f"WHEN '{table}' THEN EXISTS (SELECT FROM {table} x WHERE x.tenant_id = t.id AND x.id = p_id) "
        for table in FOREIGN
    )
    registry_function(
        "registry_exists(p_resource text, p_id bigint)",
        "boolean",
        f"SELECT EXISTS (SELECT FROM tenant t WHERE CASE p_resource {branches} ELSE false END)",
    )
