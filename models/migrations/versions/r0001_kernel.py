"""Tenants, audit trail and outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, registry_function, secure

revision = "0001"
down_revision = None

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$body$
"""
DUE = """
SELECT t.id FROM tenant t WHERE t.is_active AND EXISTS (
    SELECT FROM delivery d WHERE d.tenant_id = t.id AND starts_with(d.destination, p_destination)
    AND (d.state = 'due' AND d.next_attempt_at <= now() OR d.state = 'leased' AND d.leased_until <= now())
)
"""
BY_STATE = """
SELECT d.state, count(*), min(d.next_attempt_at) FROM tenant t JOIN delivery d ON d.tenant_id = t.id
WHERE d.state IN ('due', 'leased', 'unknown', 'dead') GROUP BY d.state
"""
UNSEALED = """
SELECT COALESCE(sum(n.waiting), 0)::bigint FROM tenant t
LEFT JOIN LATERAL (
    SELECT s.transaction_id, s.audit_id FROM audit_seal s WHERE s.tenant_id = t.id ORDER BY s.position DESC LIMIT 1
) last ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting FROM audit_event e WHERE e.tenant_id = t.id
    AND (e.transaction_id, e.id) > (COALESCE(last.transaction_id, 0), COALESCE(last.audit_id, 0))
) n
"""


def upgrade() -> None:
    """Tenants, audit trail and outbox."""
    create_tables()
    protect()


def create_tables() -> None:
    """The tables and their indexes."""
    op.create_table(
        "tenant",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("tenant_pkey")),
        sa.UniqueConstraint("slug", name=op.f("tenant_slug_key")),
    )
    op.create_table(
        "audit_event",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_label", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("changes", postgresql.JSONB(), nullable=False),
        sa.Column("ip_address", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
        ),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("audit_event_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("audit_event_pkey")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("audit_event_tenant_id_key_key")),
    )
    op.create_index(
        op.f("audit_event_tenant_id_occurred_at_index"), "audit_event", ["tenant_id", "occurred_at"], unique=False
    )
    op.create_index("audit_event_seal_index", "audit_event", ["tenant_id", "transaction_id", "id"], unique=False)
    op.create_index(
        op.f("audit_event_tenant_id_resource_type_resource_id_id_index"),
        "audit_event",
        ["tenant_id", "resource_type", "resource_id", "id"],
        unique=False,
    )
    op.create_table(
        "audit_seal",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("audit_mac", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("audit_seal_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "position", name=op.f("audit_seal_pkey")),
        sa.UniqueConstraint("tenant_id", "audit_id", name=op.f("audit_seal_tenant_id_audit_id_key")),
    )
    op.create_table(
        "outbox_event",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("outbox_event_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("outbox_event_pkey")),
    )
    op.create_index(op.f("outbox_event_tenant_id_entity_index"), "outbox_event", ["tenant_id", "entity"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("2"), nullable=False),
        sa.Column("is_ordered", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("state", sa.Text(), server_default="due", nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "next_attempt_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("leased_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("answered_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_answer", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('due', 'leased', 'done', 'unknown', 'dead', 'skipped')", name=op.f("delivery_state_check")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "event_id"],
            ["outbox_event.tenant_id", "outbox_event.id"],
            name=op.f("delivery_tenant_id_event_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("delivery_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("delivery_pkey")),
        sa.UniqueConstraint(
            "tenant_id", "event_id", "destination", name=op.f("delivery_tenant_id_event_id_destination_key")
        ),
    )
    op.create_index(
        "delivery_open_index",
        "delivery",
        ["tenant_id", "next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('due', 'leased')"),
    )
    op.create_index(
        "delivery_claim_index",
        "delivery",
        ["tenant_id", "destination", "priority", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('due', 'leased')"),
    )
    op.create_index(
        "delivery_order_index",
        "delivery",
        ["tenant_id", "destination", "entity", "id"],
        unique=False,
        postgresql_where=sa.text("state NOT IN ('done', 'skipped')"),
    )
    op.create_index(op.f("delivery_tenant_id_state_id_index"), "delivery", ["tenant_id", "state", "id"], unique=False)


def protect() -> None:
    """Row-level security, rights, and the functions that look across tenants."""
    secure("tenant", rights="SELECT", column="id")
    secure("audit_event", rights="SELECT, INSERT")
    secure("audit_seal", rights="SELECT, INSERT")
    secure("outbox_event", rights="SELECT, INSERT")
    secure("delivery")
    op.execute(REFUSE_CHANGE)
    for table in ("audit_event", "audit_seal"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    let_registry_read("tenant", "id, slug, name, time_zone, is_active")
    let_registry_read("delivery", "tenant_id, id, destination, state, next_attempt_at, leased_until")
    registry_function(
        "registry_tenants(OUT id bigint, OUT slug text, OUT name text, OUT time_zone text, OUT is_active boolean)",
        "SETOF record",
        "SELECT id, slug, name, time_zone, is_active FROM tenant ORDER BY id",
    )
    registry_function("registry_tenants_with_due(p_destination text)", "SETOF bigint", DUE)
    let_registry_read("audit_event", "tenant_id, id, transaction_id")
    let_registry_read("audit_seal", "tenant_id, position, audit_id, transaction_id")
    registry_function(
        "registry_deliveries_by_state(OUT state text, OUT number bigint, OUT oldest timestamptz)",
        "SETOF record",
        BY_STATE,
    )
    registry_function("registry_audit_unsealed()", "bigint", UNSEALED)
