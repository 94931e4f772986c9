"""What PostgreSQL's own catalog says of the schema: these rules hold for tables that are yet to be made, too."""

from collections.abc import Iterator
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from models.kernel.db import Base, driver_url, owner_engine
from models.kernel.tenancy import owner_session, tenant_session
from tests.conftest import Database
from tests.factories import make_tenant
from tests.kernel.sending import publish

pytestmark = pytest.mark.store

WITHOUT_TENANT = {"tenant", "alembic_version"}
GLOBAL_KEYS = {"tenant_pkey", "tenant_slug_key", "alembic_version_pkc"}
"""A tenant's slug is its public address, and what it is called at sign-in: it must be unique among all."""


@pytest.fixture
def catalog(database: Database) -> Iterator[Connection]:
    """The catalog as the superuser sees it."""
    engine = create_engine(driver_url(database.superuser_url))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def rows(catalog: Connection, query: str) -> list[Any]:
    return list(catalog.execute(text(query)).all())


def test_the_migrations_make_exactly_what_the_models_say(database: Database) -> None:
    with owner_engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_every_table_belongs_to_tenants_and_forces_their_isolation(catalog: Connection) -> None:
    tables = rows(
        catalog,
        """
        SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') AS has_tenant
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        """,
    )
    assert len(tables) > 20
    assert {row.relname for row in tables if not row.has_tenant} == WITHOUT_TENANT
    unprotected = [
        row.relname
        for row in tables
        if row.relname != "alembic_version" and not (row.relrowsecurity and row.relforcerowsecurity)
    ]
    assert unprotected == []


def test_every_table_has_the_one_policy_and_others_are_the_registrys_to_read(catalog: Connection) -> None:
    policies = rows(catalog, "SELECT * FROM pg_policies WHERE schemaname = 'public'")
    isolated = set()
    for policy in policies:
        if policy.policyname == "tenant_isolation":
            column = "id" if policy.tablename == "tenant" else "tenant_id"
            setting = "NULLIF(current_setting('labwire.tenant_id'::text, true), ''::text))::bigint"
            assert policy.qual == policy.with_check == f"({column} = ({setting})"
            assert (policy.permissive, policy.cmd, policy.roles) == ("PERMISSIVE", "ALL", ["public"])
            isolated.add(policy.tablename)
        else:
            assert (policy.cmd, policy.roles) == ("SELECT", ["labwire_registry"]), policy.tablename
    tables = {row.tablename for row in rows(catalog, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables - isolated == {"alembic_version"}


def test_every_foreign_key_begins_with_the_tenant(catalog: Connection) -> None:
    keys = rows(
        catalog,
        """
        SELECT c.conname, c.confrelid::regclass::text AS target, a.attname AS own, f.attname AS its
        FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = c.confkey[1]
        WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace
        """,
    )
    assert len(keys) > 30
    wrong = [
        key.conname
        for key in keys
        if (key.own, key.its) != ("tenant_id", "id" if key.target == "tenant" else "tenant_id")
    ]
    assert wrong == []


def test_every_unique_key_begins_with_the_tenant(catalog: Connection) -> None:
    keys = rows(
        catalog,
        """
        SELECT i.indexrelid::regclass::text AS name, a.attname AS first
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace
        """,
    )
    assert len(keys) > 30
    assert {key.name for key in keys if key.first != "tenant_id"} == GLOBAL_KEYS


def test_the_application_role_owns_nothing_and_is_nobody_special(catalog: Connection) -> None:
    [role] = rows(catalog, "SELECT * FROM pg_roles WHERE rolname = 'labwire_app'")
    special = (role.rolsuper, role.rolbypassrls, role.rolcreaterole, role.rolcreatedb, role.rolreplication)
    assert not any(special)
    assert rows(catalog, f"SELECT 1 FROM pg_auth_members WHERE member = {role.oid}") == []
    assert rows(catalog, f"SELECT 1 FROM pg_shdepend WHERE refobjid = {role.oid} AND deptype = 'o'") == []
    [rights] = rows(
        catalog,
        """
        SELECT has_schema_privilege('labwire_app', 'public', 'CREATE') AS may_create,
               has_table_privilege('labwire_app', 'alembic_version', 'SELECT') AS sees_version,
               has_table_privilege('labwire_app', 'alembic_version', 'INSERT,UPDATE,DELETE') AS changes_version
        """,
    )
    assert (rights.may_create, rights.sees_version, rights.changes_version) == (False, True, False)


def test_nobody_has_rights_on_partitions_themselves(catalog: Connection) -> None:
    """A partition read directly passes by its parent's policy."""
    found = rows(
        catalog,
        """
        SELECT c.relname FROM pg_class c WHERE c.relispartition AND c.relkind IN ('r', 'p') AND (
            has_table_privilege('labwire_app', c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER')
            OR has_any_column_privilege('labwire_app', c.oid, 'SELECT,INSERT,UPDATE'))
        """,
    )
    assert found == []
    assert len(rows(catalog, "SELECT 1 FROM pg_class WHERE relispartition AND relkind = 'r'")) > 50
    [schema] = rows(catalog, "SELECT has_schema_privilege('labwire_app', 'partition', 'USAGE, CREATE') AS is_open")
    assert not schema.is_open
    assert rows(catalog, "SELECT 1 FROM pg_default_acl") == []  # a partition made later gets no rights by itself


def test_only_the_registrys_functions_look_across_tenants_and_only_we_may_call_them(catalog: Connection) -> None:
    functions = rows(
        catalog,
        """
        SELECT p.proname, p.prosecdef, p.proowner::regrole::text AS owner, p.proconfig, p.provolatile::text AS volatile,
               has_function_privilege('labwire_app', p.oid, 'EXECUTE') AS for_app,
               EXISTS (SELECT FROM aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) WHERE grantee = 0)
                   AS for_public
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
        """,
    )
    (partitions,) = [function for function in functions if function.proname == "make_partitions"]
    assert (partitions.owner, partitions.for_app, partitions.for_public) == ("labwire_owner", True, False)
    assert partitions.proconfig == ["search_path=pg_catalog, pg_temp"]
    definers = [function for function in functions if function.prosecdef and function is not partitions]
    assert {function.proname for function in functions if function.proname.startswith("registry_")} == {
        function.proname for function in definers
    }
    assert {"registry_tenants", "registry_tenants_with_due", "registry_exists"} <= {one.proname for one in definers}
    for function in definers:
        assert function.owner == "labwire_registry", function.proname
        assert function.proconfig == ["search_path=pg_catalog, public, pg_temp"], function.proname
        assert (function.for_app, function.for_public, function.volatile) == (True, False, "s"), function.proname


def test_the_registry_role_sees_columns_it_compares_and_no_patients_data(catalog: Connection) -> None:
    [role] = rows(catalog, "SELECT * FROM pg_roles WHERE rolname = 'labwire_registry'")
    assert (role.rolcanlogin, role.rolbypassrls, role.rolsuper) == (False, False, False)
    whole = rows(
        catalog,
        """
        SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
          AND has_table_privilege('labwire_registry', c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE')
        """,
    )
    assert whole == []
    seen = {
        f"{row.relname}.{row.attname}"
        for row in rows(
            catalog,
            """
            SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
              AND has_column_privilege('labwire_registry', c.oid, a.attnum, 'SELECT')
            """,
        )
    }
    assert {name for name in seen if name.startswith("patient.")} == {"patient.tenant_id", "patient.id"}
    names = {name.partition(".")[2] for name in seen}
    assert not names & {"family_name", "given_names", "birth_date", "payload", "changes", "body", "raw_value", "value"}


def test_the_audit_tables_are_guarded_by_their_trigger(catalog: Connection) -> None:
    guarded = rows(
        catalog,
        """
        SELECT tgrelid::regclass::text AS name, tgtype, tgenabled::text FROM pg_trigger WHERE tgname = 'append_only'
        """,
    )
    # 2 before, 8 delete, 16 update, 32 truncate; for each statement; 'O' enabled
    assert {(row.name, row.tgtype, row.tgenabled) for row in guarded} == {
        ("audit_event", 58, "O"),
        ("audit_seal", 58, "O"),
    }


def test_a_foreign_key_cannot_reach_another_tenants_row(database: Database) -> None:
    north, south = make_tenant("north"), make_tenant("south")
    publish(south, "a:1")
    with owner_session() as session:
        event_id = session.scalar(text("SELECT id FROM outbox_event"))
    insert = text("INSERT INTO delivery (tenant_id, event_id, destination, entity) VALUES (:tenant, :event, 'x', 'y')")
    with pytest.raises(IntegrityError, match="foreign key"), tenant_session(north) as session:
        session.execute(insert, {"tenant": north, "event": event_id})
    with pytest.raises(ProgrammingError, match="row-level security"), tenant_session(north) as session:
        session.execute(insert, {"tenant": south, "event": event_id})


def test_no_dependency_ships_one_of_our_top_level_names() -> None:
    ours = ("api", "deployments", "expectations", "flows", "models", "tasks", "tests", "benchmarks")
    shipped = packages_distributions()
    assert {name: shipped[name] for name in ours if set(shipped.get(name, [])) - {"labwire"}} == {}
