"""Alerts: what is open, what happened to it, whom a tenant tells, its own limits, and what patients were asked."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, registry_function, secure

revision = "0010"
down_revision = "0009"

MOMENT = postgresql.TIMESTAMP(timezone=True)
TABLES = ("alert", "alert_event", "alert_threshold", "alert_policy", "alert_contact", "alert_question")
FOREIGN = (
    *("patient", "app_user", "assignment", "equipment", "department", "held_result", "test_definition", "panel"),
    *("delivery", "user_session", "api_token", "quality_check", "device", "held_reading"),
    *("alert", "alert_threshold", "alert_contact"),
)


def upgrade() -> None:
    """The tables, their row-level security, and how a question is found by its link."""
    create_alerts()
    create_settings()
    create_questions()
    for table in TABLES:
        secure(table)
    for table in ("alert", "alert_threshold", "alert_contact"):
        let_registry_read(table, "tenant_id, id")
    let_registry_read("alert_question", "tenant_id, id, token_hash")
    registry_function(
        "registry_alert_question(p_hash bytea)",
        "TABLE (tenant_id bigint, id bigint)",
        "SELECT q.tenant_id, q.id FROM alert_question q WHERE q.token_hash = p_hash",
    )
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


def create_alerts() -> None:
    """Alerts and their events."""
    op.create_table(
        "alert",
        *_ids("alert"),
        *_needed(sa.BigInteger(), "patient_id"),
        *_needed(sa.Text(), "kind", "level"),
        *_needed(sa.Numeric(), "value"),
        *_needed(sa.Text(), "unit"),
        sa.Column("vital_sign_id", sa.BigInteger()),
        *_needed(MOMENT, "opened_at", "seen_at"),
        sa.Column("ladder_from", MOMENT),
        *(_number(name, 0) for name in ("round", "next_step")),
        *(sa.Column(name, MOMENT) for name in ("next_step_at", "acknowledged_at")),
        sa.Column("acknowledged_by", sa.BigInteger()),
        sa.Column("read_back", sa.Text()),
        sa.Column("closed_at", MOMENT),
        sa.Column("closed_by", sa.BigInteger()),
        sa.Column("ending", sa.Text()),
        _number("version", 1),
        sa.CheckConstraint("level IN ('warning', 'critical')", name=op.f("alert_level_check")),
        sa.CheckConstraint("ending IN ('recovered', 'closed', 'merged')", name=op.f("alert_ending_check")),
        sa.CheckConstraint("(closed_at IS NULL) = (ending IS NULL)", name=op.f("alert_closed_check")),
        _of("alert", "patient"),
        *(_of("alert", "app_user", column) for column in ("acknowledged_by", "closed_by")),
    )
    is_open = sa.text("closed_at IS NULL")
    kind = ["tenant_id", "patient_id", "kind"]
    op.create_index("alert_open_key", "alert", kind, unique=True, postgresql_where=is_open)
    due = sa.text("next_step_at IS NOT NULL")
    op.create_index("alert_due_index", "alert", ["tenant_id", "next_step_at"], postgresql_where=due)
    op.create_index(op.f("alert_tenant_id_patient_id_kind_id_index"), "alert", [*kind, "id"])
    op.create_table(
        "alert_event",
        *_ids("alert_event"),
        *_needed(sa.BigInteger(), "alert_id"),
        *_needed(MOMENT, "at"),
        *_needed(sa.Text(), "name", "level"),
        *(sa.Column(name, sa.BigInteger()) for name in ("vital_sign_id", "user_id")),
        *_needed(sa.BigInteger(), "round"),
        sa.Column("step", sa.BigInteger()),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        _of("alert_event", "alert"),
        sa.UniqueConstraint(
            *("tenant_id", "alert_id", "round", "step"), name=op.f("alert_event_tenant_id_alert_id_round_step_key")
        ),
    )
    of_alert = ["tenant_id", "alert_id", "id"]
    op.create_index(op.f("alert_event_tenant_id_alert_id_id_index"), "alert_event", of_alert)


def create_settings() -> None:
    """Limits, the ladder and whom it tells."""
    op.create_table(
        "alert_threshold",
        *_ids("alert_threshold"),
        sa.Column("patient_id", sa.BigInteger()),
        *_needed(sa.Text(), "kind"),
        *(sa.Column(name, sa.Numeric()) for name in ("warning", "critical", "margin")),
        sa.Column("is_on", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        _number("version", 1),
        _of("alert_threshold", "patient"),
        sa.UniqueConstraint(
            *("tenant_id", "patient_id", "kind"),
            name=op.f("alert_threshold_tenant_id_patient_id_kind_key"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "alert_policy",
        *_needed(sa.BigInteger(), "tenant_id"),
        *_needed(postgresql.JSONB(), "ladder"),
        *_needed(sa.BigInteger(), "question_minutes"),
        *_needed(sa.Boolean(), "critical_skips_question"),
        _number("version", 1),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("alert_policy_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("alert_policy_pkey")),
    )
    op.create_table(
        "alert_contact",
        *_ids("alert_contact"),
        *_needed(sa.Text(), "role", "name", "address"),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('doctor', 'nurse', 'emergency')", name=op.f("alert_contact_role_check")),
        sa.UniqueConstraint("tenant_id", "role", "address", name=op.f("alert_contact_tenant_id_role_address_key")),
    )


def create_questions() -> None:
    """One-time links, of which only the SHA-256 is kept."""
    op.create_table(
        "alert_question",
        *_ids("alert_question"),
        *_needed(sa.BigInteger(), "alert_id"),
        *_needed(sa.LargeBinary(), "token_hash"),
        *_needed(MOMENT, "asked_at", "expires_at"),
        sa.Column("answer", sa.Text()),
        sa.Column("answered_at", MOMENT),
        sa.CheckConstraint("answer IN ('yes', 'no', 'help')", name=op.f("alert_question_answer_check")),
        sa.CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name=op.f("alert_question_answered_check")),
        _of("alert_question", "alert"),
        sa.UniqueConstraint("tenant_id", "token_hash", name=op.f("alert_question_tenant_id_token_hash_key")),
    )
    op.create_index(op.f("alert_question_token_hash_index"), "alert_question", ["token_hash"])
    of_alert = ["tenant_id", "alert_id"]
    op.create_index(op.f("alert_question_tenant_id_alert_id_index"), "alert_question", of_alert)


def _ids(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f(f"{table}_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"{table}_pkey")),
    )


def _needed(kind: sa.types.TypeEngine[Any], *names: str) -> tuple[sa.schema.SchemaItem, ...]:
    return tuple(sa.Column(name, kind, nullable=False) for name in names)


def _number(name: str, usual: int) -> sa.schema.SchemaItem:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text(str(usual)), nullable=False)


def _of(table: str, target: str, column: str = "") -> sa.ForeignKeyConstraint:
    column = column or f"{target}_id"
    name = op.f(f"{table}_tenant_id_{column}_fkey")
    return sa.ForeignKeyConstraint(["tenant_id", column], [f"{target}.tenant_id", f"{target}.id"], name=name)
