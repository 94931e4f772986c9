"""Databases that are somebody else's: looked at before anything starts, so that what is wrong is said in one line."""

from urllib.parse import parse_qsl, urlencode

import psycopg2

from models.kernel.errors import ConfigError
from models.kernel.settings import Settings

OLDEST = 15
CONNECT_SECONDS = 10
POSTGRESQL = ("postgres", "postgresql")
FOR_ASYNCPG = {"sslmode": "ssl", "ssl": "ssl", "application_name": "", "connect_timeout": ""}
"""Parameters that Prefect's driver knows under another name, or can do without."""
TRIGRAMS = "pg_trgm"


def check_outside(options: Settings) -> None:
    """Every database that is named must let us in and be new enough, Prefect's must have its extension; ConfigError."""
    if options.database_owner_url is not None and options.database_url is None:
        raise ConfigError("LABWIRE_DATABASE_OWNER_URL is set, LABWIRE_DATABASE_URL is not: set both, or neither")
    for name in ("database_url", "database_owner_url", "prefect_database_url"):
        secret = getattr(options, name)
        url = secret.get_secret_value() if secret is not None else ""
        if url and not (name == "prefect_database_url" and (url.startswith("sqlite") or options.prefect_api_url)):
            _check(f"LABWIRE_{name.upper()}", url, is_prefects=name == "prefect_database_url")


def plain_url(variable: str, url: str) -> str:
    """The URL as PostgreSQL's own library takes it; ConfigError, without quoting it, for one that would be misread."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in POSTGRESQL:
        raise ConfigError(f"{variable} is no PostgreSQL address; expected postgresql://user:password@host:port/name")
    authority = rest
    for end in "/?#":
        authority = authority.partition(end)[0]
    if rest.count("@") > 1 or ("@" in rest and "@" not in authority):
        raise ConfigError(
            f"{variable}: special characters in the password must be percent-encoded (@ is %40, / is %2F)"
        )
    return f"postgresql://{rest}"


def prefect_url(url: str) -> str:
    """Prefect's database with the driver Prefect uses, which names TLS differently; ConfigError for what it lacks."""
    variable = "LABWIRE_PREFECT_DATABASE_URL"
    if url.startswith("sqlite+aiosqlite://"):
        return url
    address, separator, query = plain_url(variable, url).removeprefix("postgresql://").partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    unknown = sorted({name for name, _ in given if name not in FOR_ASYNCPG})
    if unknown:
        raise ConfigError(f"{variable}: Prefect's driver takes no parameter {', '.join(unknown)}")
    kept = [(FOR_ASYNCPG[name], value) for name, value in given if FOR_ASYNCPG[name]]
    return f"postgresql+asyncpg://{address}" + (f"?{urlencode(kept)}" if separator and kept else "")


def _check(variable: str, url: str, *, is_prefects: bool) -> None:
    plain = plain_url(variable, url)
    try:
        connection = psycopg2.connect(plain, connect_timeout=CONNECT_SECONDS)
    except psycopg2.ProgrammingError:  # its message may quote a part of the password
        raise ConfigError(f"{variable} is not readable; expected postgresql://user:password@host:port/name") from None
    except psycopg2.OperationalError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"the database of {variable} does not let us in: {reason}") from None
    try:
        if connection.server_version < OLDEST * 10_000:
            version = connection.server_version // 10_000
            raise ConfigError(f"the database of {variable} is PostgreSQL {version}; labwire needs {OLDEST} or later")
        if is_prefects:
            _ensure_trigrams(connection, variable)
    finally:
        connection.close()


def _ensure_trigrams(connection: "psycopg2.extensions.connection", variable: str) -> None:
    """Prefect's tables need the extension: whoever owns the database may make it where the server has its files."""
    connection.autocommit = True
    with connection.cursor() as cursor:
        try:
            cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {TRIGRAMS}")
        except psycopg2.Error as error:
            reason = " ".join(str(error.diag.message_primary or error).split())
            raise ConfigError(
                f"the database of {variable} lacks the extension {TRIGRAMS}, which Prefect needs: as a superuser run "
                f"CREATE EXTENSION {TRIGRAMS} in it (on older systems from the package postgresql-contrib): {reason}"
            ) from None
