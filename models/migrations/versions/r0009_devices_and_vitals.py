"""Devices, their keys and patients, and readings by month."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import let_registry_read, registry_function, secure

revision = "0009"
down_revision = "0008"

MOMENT = postgresql.TIMESTAMP(timezone=True)
MONTHS_BACK, MONTHS_AHEAD = 25, 3
PARTITIONED = ("vital_sign", "device_activity")
FOREIGN = (
    *("patient", "app_user", "assignment", "equipment", "department", "held_result", "test_definition", "panel"),
    *("delivery", "user_session", "api_token", "quality_check", "device", "held_reading"),
)
MAKE_PARTITIONS = """
CREATE FUNCTION make_partitions(months_back integer, months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    parent text;
    month date;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('labwire.make_partitions'));
    FOREACH parent IN ARRAY ARRAY['vital_sign', 'device_activity'] LOOP
        FOR month IN SELECT generate_series(
            date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => least(months_back, 120)),
            date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => least(months_ahead, 24)),
            interval '1 month')
        LOOP
            IF to_regclass(format('partition.%I', parent || to_char(month, '_YYYY_MM'))) IS NULL THEN
                EXECUTE format(
                    'CREATE TABLE partition.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                    parent || to_char(month, '_YYYY_MM'), parent,
                    month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $body$
"""


def upgrade() -> None:
    """The tables; partitions lie in a schema that only their owner may use."""
    create_devices()
    create_readings()
    create_partitions()
    protect()


def create_devices() -> None:
    """Devices, whose they are, their keys, their last contact and how much they send."""
    op.create_table(
        "device",
        *_ids("device"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("device_type", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("silence_minutes", sa.BigInteger(), nullable=True),
        sa.Column("rate_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.UniqueConstraint("tenant_id", "code", name=op.f("device_tenant_id_code_key")),
    )
    op.create_table(
        "device_patient",
        *_ids("device_patient"),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("assigned_from", MOMENT, nullable=False),
        sa.Column("assigned_until", MOMENT, nullable=True),
        sa.CheckConstraint("assigned_until > assigned_from", name=op.f("device_patient_period_check")),
        _of("device_patient", "device"),
        _of("device_patient", "patient"),
    )
    of_device = ["tenant_id", "device_id", "assigned_from"]
    op.create_index(op.f("device_patient_tenant_id_device_id_assigned_from_index"), "device_patient", of_device)
    op.create_index(op.f("device_patient_tenant_id_patient_id_index"), "device_patient", ["tenant_id", "patient_id"])
    op.create_index(
        "device_patient_now_key",
        "device_patient",
        ["tenant_id", "device_id"],
        unique=True,
        postgresql_where=sa.text("assigned_until IS NULL"),
    )
    op.create_table(
        "device_key",
        *_ids("device_key"),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("can_write_vitals", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("can_read_patient", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        _of("device_key", "device"),
        sa.UniqueConstraint("tenant_id", "key_hash", name=op.f("device_key_tenant_id_key_hash_key")),
    )
    op.create_index(op.f("device_key_tenant_id_device_id_index"), "device_key", ["tenant_id", "device_id"])
    op.create_index(op.f("device_key_key_hash_index"), "device_key", ["key_hash"])
    op.create_table(
        "device_contact",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("contact_at", MOMENT, nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=True),
        sa.Column("reading_at", MOMENT, nullable=True),
        sa.Column("battery_level", sa.BigInteger(), nullable=True),
        sa.Column("signal_quality", sa.BigInteger(), nullable=True),
        sa.Column("silence_told_at", MOMENT, nullable=True),
        *(sa.Column(name, MOMENT, nullable=True) for name in ("latest_at", "latest_before_at", "minute")),
        sa.Column("readings", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _of("device_contact", "device"),
        sa.PrimaryKeyConstraint("tenant_id", "device_id", name=op.f("device_contact_pkey")),
    )
    op.create_table(
        "tenant_rate",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("connection", sa.BigInteger(), nullable=False),
        sa.Column("minute", MOMENT, nullable=False),
        sa.Column("readings", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "connection", name=op.f("tenant_rate_pkey")),
    )
    op.create_table(
        "vitals_policy",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("backfill_days", sa.BigInteger(), nullable=True),
        sa.Column("device_rate_per_minute", sa.BigInteger(), nullable=True),
        sa.Column("tenant_rate_per_minute", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("vitals_policy_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("vitals_policy_pkey")),
    )


def create_readings() -> None:
    """What devices sent, what was held of it, and what they were answered."""
    for table in PARTITIONED:
        op.execute(f"CREATE SEQUENCE {table}_id_seq AS bigint")
    numbers = ("heart_rate", "blood_pressure_systolic", "blood_pressure_diastolic")
    op.create_table(
        "vital_sign",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), server_default=sa.text("nextval('vital_sign_id_seq')"), nullable=False),
        *(sa.Column(name, MOMENT, nullable=False) for name in ("recorded_at", "received_at")),
        sa.Column("patient_id", sa.BigInteger(), nullable=False),
        sa.Column("data_source", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger()) for name in ("device_id", "recorded_by", "recorded_by_nurse")),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("corrects_id", sa.BigInteger()),
        sa.Column("alerts_triggered", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        *(sa.Column(name, sa.BigInteger()) for name in numbers),
        *_measured("temperature"),
        sa.Column("respiratory_rate", sa.BigInteger()),
        sa.Column("oxygen_saturation", sa.Numeric()),
        *_measured("glucose"),
        *_measured("weight"),
        sa.Column("consciousness", sa.Text()),
        sa.Column("supplemental_oxygen", sa.Boolean()),
        *(sa.Column(name, sa.BigInteger()) for name in ("signal_quality", "battery_level")),
        sa.Column("notes", sa.Text()),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.CheckConstraint("data_source IN ('manual', 'device')", name=op.f("vital_sign_data_source_check")),
        sa.CheckConstraint("(data_source = 'device') = (device_id IS NOT NULL)", name=op.f("vital_sign_device_check")),
        _of("vital_sign", "device"),
        _of("vital_sign", "patient"),
        sa.PrimaryKeyConstraint("tenant_id", "id", "recorded_at", name=op.f("vital_sign_pkey")),
        sa.UniqueConstraint(
            *("tenant_id", "device_id", "recorded_at", "content"),
            name=op.f("vital_sign_tenant_id_device_id_recorded_at_content_key"),
        ),
        postgresql_partition_by="RANGE (recorded_at)",
    )
    of_patient = ["tenant_id", "patient_id", "recorded_at"]
    op.create_index(op.f("vital_sign_tenant_id_patient_id_recorded_at_index"), "vital_sign", of_patient)
    op.create_table(
        "device_activity",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), server_default=sa.text("nextval('device_activity_id_seq')"), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("device_id", "key_id")),
        sa.Column("ip_address", sa.Text()),
        sa.Column("door", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("status", "readings")),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("tenant_id", "id", "at", name=op.f("device_activity_pkey")),
        postgresql_partition_by="RANGE (at)",
    )
    of_device = ["tenant_id", "device_id", "at"]
    op.create_index(op.f("device_activity_tenant_id_device_id_at_index"), "device_activity", of_device)
    op.create_table(
        "held_reading",
        *_ids("held_reading"),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        *(sa.Column(name, MOMENT, nullable=False) for name in ("recorded_at", "received_at")),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("findings", postgresql.JSONB(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("settled_at", MOMENT, nullable=True),
        sa.Column("settlement", sa.Text(), nullable=True),
        _of("held_reading", "device"),
        sa.UniqueConstraint(
            *("tenant_id", "device_id", "recorded_at", "content"),
            name=op.f("held_reading_tenant_id_device_id_recorded_at_content_key"),
        ),
    )
    op.create_index(
        "held_reading_open_index", "held_reading", ["tenant_id", "id"], postgresql_where=sa.text("settled_at IS NULL")
    )


def create_partitions() -> None:
    """A month each, in a schema of their own: nobody but the owner may name one. What fits none goes to a default."""
    op.execute("CREATE SCHEMA partition")
    for table in PARTITIONED:
        op.execute(f"CREATE TABLE partition.{table}_default PARTITION OF {table} DEFAULT")
    op.execute(MAKE_PARTITIONS)
    op.execute("REVOKE ALL ON FUNCTION make_partitions(integer, integer) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION make_partitions(integer, integer) TO labwire_app")
    op.execute(f"SELECT make_partitions({MONTHS_BACK}, {MONTHS_AHEAD})")


def protect() -> None:
    """Row-level security, and what may be known across tenants."""
    for table in ("device", "device_patient", "device_key", "device_contact", "tenant_rate", "vitals_policy"):
        secure(table)
    secure("held_reading")
    for table in PARTITIONED:
        secure(table, rights="SELECT, INSERT, UPDATE")
        op.execute(f"GRANT USAGE ON SEQUENCE {table}_id_seq TO labwire_app")
    let_registry_read("device", "tenant_id, id, code, time_zone")
    let_registry_read("device_key", "tenant_id, id, device_id, key_hash")
    let_registry_read("held_reading", "tenant_id, id")
    registry_function(
        "registry_device_key(p_hash bytea)",
        "TABLE (tenant_id bigint, key_id bigint, device_id bigint, code text, time_zone text)",
        "SELECT k.tenant_id, k.id, d.id, d.code, d.time_zone FROM device_key k "
        "JOIN device d ON d.tenant_id = k.tenant_id AND d.id = k.device_id WHERE k.key_hash = p_hash",
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


def _ids(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f(f"{table}_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"{table}_pkey")),
    )


def _of(table: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"{table}_tenant_id_{target}_id_fkey")
    return sa.ForeignKeyConstraint(["tenant_id", f"{target}_id"], [f"{target}.tenant_id", f"{target}.id"], name=name)


def _measured(name: str) -> tuple[sa.schema.SchemaItem, ...]:
    given = sa.Column(f"{name}_given", sa.Numeric())
    return sa.Column(name, sa.Numeric()), given, sa.Column(f"{name}_unit", sa.Text())
