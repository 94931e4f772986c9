-- Run by a superuser through `labwire database create` or the embedded server's first start, which put the passwords in.
-- labwire_owner migrates and backs up. BYPASSRLS is for pg_dump: without it FORCE ROW LEVEL SECURITY hides every row from it.
-- labwire_app is what the hub runs as: it owns nothing.
-- labwire_registry cannot log in; it owns the few functions that look across tenants.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'labwire_owner') THEN
        CREATE ROLE labwire_owner LOGIN BYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'labwire_app') THEN
        CREATE ROLE labwire_app LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'labwire_registry') THEN
        CREATE ROLE labwire_registry NOLOGIN;
    END IF;
END
$$;
ALTER ROLE labwire_owner LOGIN BYPASSRLS PASSWORD %(owner_password)s;
ALTER ROLE labwire_app LOGIN NOBYPASSRLS PASSWORD %(app_password)s;
GRANT labwire_registry TO labwire_owner;
