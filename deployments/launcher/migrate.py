"""The step that brings the database up to date: roles and database of the embedded server, then the schema.

Run by the launcher as a process of its own, so that the launcher stays small: `python -m deployments.launcher.migrate`.
The URLs come from the settings; LABWIRE_SUPERUSER_URL is there only for the embedded server.
"""

import os
import sys
from urllib.parse import unquote, urlsplit

import psycopg2
from sqlalchemy.exc import OperationalError

from models.kernel.errors import ConfigError
from models.kernel.settings import read_settings
from models.migrations.apply import prepare_roles, upgrade

SUPERUSER_VARIABLE = "LABWIRE_SUPERUSER_URL"


def migrate() -> None:
    """Make what is missing; without the owner's URL (an outside database managed by others) nothing is done."""
    settings = read_settings()
    superuser_url = os.environ.get(SUPERUSER_VARIABLE)
    if superuser_url:
        prepare_roles(
            superuser_url,
            owner_password=_password(settings.required("database_owner_url")),
            app_password=_password(settings.required("database_url")),
        )
    if settings.database_owner_url is None:
        sys.stdout.write("LABWIRE_DATABASE_OWNER_URL is not set: the schema is taken as it is\n")
        return
    upgrade(settings.required("database_owner_url"))


def _password(url: str) -> str:
    password = urlsplit(url).password
    if not password:
        raise ConfigError("a database URL of the embedded server holds no password")
    return unquote(password)


if __name__ == "__main__":
    try:
        migrate()
    except (ConfigError, psycopg2.OperationalError, OperationalError) as error:
        sys.exit(f"labwire: the database cannot be brought up to date: {' '.join(str(error).split())}")
