"""The only ways into the database: a session bound to one tenant, and a few that are bound to none.

Row-level security compares every row with the setting `labwire.tenant_id` of the running transaction.
A session that never set it sees no tenant's rows at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

import models.all_tables  # noqa: F401 # foreign keys name tables: all must be known, whichever module came first
from models.kernel.db import engine, owner_engine
from models.kernel.errors import NotFoundError
from models.kernel.pipeline import Pipeline

_SWITCH = text("SELECT set_config('labwire.tenant_id', :tenant_id, true)")


@dataclass(frozen=True, slots=True)
class KnownTenant:
    """What everybody may know of a tenant; `time_zone` is an IANA name."""

    id: int
    slug: str
    name: str
    time_zone: str
    is_active: bool = True


def known_tenants(slug: str = "", *, with_inactive: bool = False) -> list[KnownTenant]:
    """The active tenants, or the one of that slug; NotFoundError when there is none of that slug."""
    with registry_session() as session:
        rows = session.execute(text("SELECT id, slug, name, time_zone, is_active FROM registry_tenants()"))
        tenants = [KnownTenant(*row) for row in rows]
    chosen = [tenant for tenant in tenants if (tenant.is_active or with_inactive) and (not slug or tenant.slug == slug)]
    if slug and not chosen:
        raise NotFoundError("no active tenant of that slug", field="tenant")
    return chosen


@contextmanager
def tenant_session(tenant_id: int) -> Iterator[Session]:
    """One transaction of one tenant: committed once when the block ends, rolled back when it raises."""
    with Session(engine(), expire_on_commit=False) as session, session.begin():
        switch_tenant(session, tenant_id)
        yield session


@contextmanager
def tenant_pipeline(tenant_id: int) -> Iterator[Pipeline]:
    """The same for statements that travel together: what is still waiting when the block ends is sent."""
    with group_pipeline() as pipeline:
        switch_pipeline(pipeline, tenant_id)
        yield pipeline


@contextmanager
def group_session() -> Iterator[Session]:
    """One transaction over several tenants: call `switch_tenant` before each tenant's statements."""
    with Session(engine(), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def group_pipeline() -> Iterator[Pipeline]:
    """A transaction over several tenants of statements that travel together: `switch_pipeline` before each tenant's."""
    with engine().connect() as connection, connection.begin():
        pipeline = Pipeline(connection)
        yield pipeline
        pipeline.finish()


class GroupLine:
    """A connection that one thread keeps for its group commits: not asked before each whether it still works.

    After an error the next transaction has another one. So one that a restarted server has cut fails once.
    """

    def __init__(self) -> None:
        self._connection: Connection | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """As `group_session`."""
        connection, self._connection = self._connection or engine().connect(), None
        try:
            with Session(connection, expire_on_commit=False) as session, session.begin():
                yield session
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def let_go(self) -> None:
        """Give the connection back until it is needed again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def switch_tenant(session: Session, tenant_id: int) -> None:
    """Write out what is pending for the tenant so far, then bind the running transaction to `tenant_id`."""
    session.flush()
    session.expunge_all()
    session.execute(_SWITCH, {"tenant_id": str(tenant_id)})


def switch_pipeline(pipeline: Pipeline, tenant_id: int) -> None:
    """The same with the next statements of a pipeline; `send` before its session is used for the tenant."""
    pipeline.write_out()
    pipeline.put_text("SELECT set_config('labwire.tenant_id', %s, true)", str(tenant_id))


@contextmanager
def registry_session() -> Iterator[Session]:
    """A transaction without a tenant: it can call the `registry_` functions and sees no tenant's rows."""
    with Session(engine(), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def owner_session() -> Iterator[Session]:
    """A transaction of the owner, for the command line: it creates tenants and verifies all of them."""
    with Session(owner_engine(), expire_on_commit=False) as session, session.begin():
        yield session
