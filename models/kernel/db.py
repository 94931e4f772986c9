"""The declarative base, column types and engines of the hub's PostgreSQL database."""

import math
import time
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

import psycopg2
from sqlalchemy import (
    BigInteger,
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    LargeBinary,
    MetaData,
    Numeric,
    Text,
    create_engine,
    event,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry

from models.kernel.errors import ConfigError
from models.kernel.settings import settings

DRIVER = "postgresql+psycopg2"
OPTIONS = "-c timezone=UTC -c plan_cache_mode=force_generic_plan -c lock_timeout=60s"
"""What is prepared (models.kernel.pipeline) is planned once: PostgreSQL would plan again what reads partitions.

Who waits for another's row is told after a minute to come again, instead of waiting for as long as that one hangs.
"""
RESTED_SECONDS = 1.0
"""A connection that was used a moment ago is not asked whether it still works: that is a round trip for each use."""


class Base(DeclarativeBase):
    """Every table of the hub. There are no relationships: what a page needs, its query names."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_index",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        int: BigInteger,
        datetime: TIMESTAMP(timezone=True),
        Decimal: Numeric,
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        list[str]: ARRAY(Text),
    }


class TenantRow:
    """The two columns every tenant table begins with; together they are its primary key."""

    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"), primary_key=True, sort_order=-2)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True, sort_order=-1)


def references(table: str, column: str | None = None) -> ForeignKeyConstraint:
    """A foreign key to `table` that cannot leave the tenant."""
    return ForeignKeyConstraint(["tenant_id", column or f"{table}_id"], [f"{table}.tenant_id", f"{table}.id"])


def driver_url(url: str) -> URL:
    """The URL with the driver we ship, whatever common spelling of PostgreSQL it came in."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "a database URL is not readable; expected postgresql://user:password@host:port/name"
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigError("only PostgreSQL 15 or later is supported")
    return parsed.set(drivername=DRIVER)


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The application role's engine; one per process, its pool opened on first use."""
    config = settings()
    made = create_engine(
        driver_url(config.required("database_url")),
        pool_size=config.database_pool_size,
        max_overflow=config.database_pool_size,
        hide_parameters=True,  # they are patient data, and errors end in logs
        connect_args={"application_name": "labwire", "connect_timeout": 5, "options": OPTIONS},
    )
    _ask_after_rest(made)
    return made


def _ask_after_rest(made: Engine) -> None:
    """See, of a connection that rested, that it still works; where it does not, all that rest are made anew."""

    def rests(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = time.monotonic()

    def ask(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        if time.monotonic() - record.info.get("rests_since", math.inf) < RESTED_SECONDS:
            return
        try:
            made.dialect.do_ping(connection)
        except psycopg2.Error:
            raise InvalidatePoolError from None

    event.listen(made, "checkin", rests)
    event.listen(made, "checkout", ask)


@lru_cache(maxsize=1)
def owner_engine() -> Engine:
    """The owner's engine, for migrations and the command line alone."""
    return create_engine(driver_url(settings().required("database_owner_url")), pool_size=1, hide_parameters=True)
