"""How alembic runs our migrations: as the owner, each in its own transaction, never waiting long for a lock."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

import models.all_tables  # noqa: F401 # the metadata is compared with the database
from models.kernel.db import Base, driver_url
from models.kernel.settings import settings

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "15min"


def run() -> None:
    """Connect as the owner and apply what is missing."""
    url = context.config.attributes.get("owner_url") or settings().required("database_owner_url")
    with create_engine(driver_url(url), poolclass=NullPool).connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


run()
