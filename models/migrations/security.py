"""What every migration that adds a tenant table must do to it."""

from alembic import op

TENANT = "NULLIF(current_setting('labwire.tenant_id', true), '')::bigint"


def secure(table: str, *, rights: str = "SELECT, INSERT, UPDATE, DELETE", column: str = "tenant_id") -> None:
    """Force row-level security on `table` and grant the application role `rights` to the rows of its tenant."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    condition = f"{column} = {TENANT}"
    op.execute(f"CREATE POLICY tenant_isolation ON {table} USING ({condition}) WITH CHECK ({condition})")
    op.execute(f"GRANT {rights} ON {table} TO labwire_app")


def let_registry_read(table: str, columns: str) -> None:
    """Let the registry role read these columns of every tenant's rows, and nothing else."""
    op.execute(f"CREATE POLICY registry_read ON {table} FOR SELECT TO labwire_registry USING (true)")
    op.execute(f"GRANT SELECT ({columns}) ON {table} TO labwire_registry")


def registry_function(signature: str, returns: str, body: str) -> None:
    """Create a SECURITY DEFINER function of the registry role that only the application role may call."""
    op.execute(
        f"CREATE FUNCTION {signature} RETURNS {returns} LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = pg_catalog, public, pg_temp AS $body$ {body} $body$"
    )
    name = signature.split("(", 1)[0]
    op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
    op.execute("GRANT CREATE ON SCHEMA public TO labwire_registry")
    op.execute(f"ALTER FUNCTION {name} OWNER TO labwire_registry")
    op.execute("REVOKE CREATE ON SCHEMA public FROM labwire_registry")
    op.execute(f"GRANT EXECUTE ON FUNCTION {name} TO labwire_app")
