"""Assignments and comments on them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, secure

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Assignments and comments on them."""
    create_tables()
    for table in ("assignment", "assignment_comment"):
        secure(table)
    # ids are taken before the rows are written: the request id an instrument sees is made of them
    op.execute("GRANT USAGE ON SEQUENCE assignment_id_seq TO labwire_app")
    let_registry_read("assignment", "tenant_id, id, status, next_poll_at, poll_leased_until")


def create_tables() -> None:
    """The tables and their indexes."""
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
