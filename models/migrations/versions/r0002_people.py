"""Users, sessions, tokens and patients."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, registry_function, secure

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Users, sessions, tokens and patients."""
    create_tables()
    protect()


def create_tables() -> None:
    """The tables and their indexes."""
    op.create_table(
        "app_user",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("failed_logins", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("locked_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("email = lower(email)", name=op.f("app_user_email_check")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("app_user_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("app_user_pkey")),
        sa.UniqueConstraint("tenant_id", "email", name=op.f("app_user_tenant_id_email_key")),
    )
    op.create_table(
        "patient",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("family_name", sa.Text(), nullable=False),
        sa.Column("given_names", sa.Text(), nullable=False),
        sa.Column("sex", sa.Text(), server_default="unknown", nullable=False),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("is_report_mailed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("merged_into_id", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("sex IN ('female', 'male', 'other', 'unknown')", name=op.f("patient_sex_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "merged_into_id"],
            ["patient.tenant_id", "patient.id"],
            name=op.f("patient_tenant_id_merged_into_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("patient_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("patient_pkey")),
        sa.UniqueConstraint("tenant_id", "code", name=op.f("patient_tenant_id_code_key")),
    )
    op.create_index(op.f("patient_tenant_id_family_name_index"), "patient", ["tenant_id", "family_name"], unique=False)
    op.create_table(
        "api_token",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("equipment_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("api_token_tenant_id_user_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("api_token_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("api_token_pkey")),
        sa.UniqueConstraint("tenant_id", "token_hash", name=op.f("api_token_tenant_id_token_hash_key")),
    )
    op.create_index(op.f("api_token_tenant_id_user_id_index"), "api_token", ["tenant_id", "user_id"], unique=False)
    op.create_table(
        "password_reset",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("password_reset_tenant_id_user_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("password_reset_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("password_reset_pkey")),
        sa.UniqueConstraint("tenant_id", "token_hash", name=op.f("password_reset_tenant_id_token_hash_key")),
    )
    op.create_table(
        "patient_identifier",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "patient_id"],
            ["patient.tenant_id", "patient.id"],
            name=op.f("patient_identifier_tenant_id_patient_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("patient_identifier_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("patient_identifier_pkey")),
        sa.UniqueConstraint("tenant_id", "system", "value", name=op.f("patient_identifier_tenant_id_system_value_key")),
    )
    op.create_index(
        op.f("patient_identifier_tenant_id_patient_id_index"),
        "patient_identifier",
        ["tenant_id", "patient_id"],
        unique=False,
    )
    op.create_table(
        "user_session",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ip_address", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["app_user.tenant_id", "app_user.id"],
            name=op.f("user_session_tenant_id_user_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("user_session_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("user_session_pkey")),
        sa.UniqueConstraint("tenant_id", "token_hash", name=op.f("user_session_tenant_id_token_hash_key")),
    )
    op.create_index(
        op.f("user_session_tenant_id_user_id_index"), "user_session", ["tenant_id", "user_id"], unique=False
    )


def protect() -> None:
    """Row-level security, rights, and the functions that look across tenants."""
    for table in ("app_user", "user_session", "api_token", "password_reset", "patient", "patient_identifier"):
        secure(table)
    op.execute("GRANT SELECT ON alembic_version TO labwire_app")  # readiness compares it with the code
    let_registry_read("app_user", "tenant_id, id, email")
    let_registry_read("user_session", "tenant_id, id, token_hash")
    let_registry_read("api_token", "tenant_id, id, token_hash")
    let_registry_read("password_reset", "tenant_id, id, token_hash")
    for table in ("user_session", "api_token", "password_reset"):
        # found by hash before the tenant is known: unique keys begin with the tenant, so this lookup has its own index
        op.create_index(f"{table}_token_hash_index", table, ["token_hash"])
        registry_function(
            f"registry_{table}(p_hash bytea, OUT tenant_id bigint, OUT id bigint)",
            "record",
            f"SELECT x.tenant_id, x.id FROM {table} x JOIN tenant t ON t.id = x.tenant_id AND t.is_active "
            "WHERE x.token_hash = p_hash",
        )
    op.create_index("app_user_email_index", "app_user", ["email"])
    registry_function(
        "registry_logins(p_email text, OUT tenant_id bigint, OUT slug text, OUT user_id bigint)",
        "SETOF record",
        "SELECT u.tenant_id, t.slug, u.id FROM app_user u JOIN tenant t ON t.id = u.tenant_id AND t.is_active "
        "WHERE u.email = lower(p_email) ORDER BY 1",
    )
