"""A tenant's audit trail, and somebody who tampers with it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import select

from models.kernel.audit import SYSTEM, Action, record_many
from models.kernel.heads import write_head
from models.kernel.seal import seal_tenant
from models.kernel.tables import AuditSeal
from models.kernel.tenancy import tenant_session
from models.kernel.verify import Verdict
from tests.conftest import Database


def write(tenant_id: int, count: int = 1, changes: Any = None) -> None:
    with tenant_session(tenant_id) as session:
        actions = [Action("thing.change", "thing", n, changes or {"n": [n, n + 1]}) for n in range(count)]
        record_many(session, tenant_id, SYSTEM, actions)


def seal(tenant_id: int) -> int:
    number = seal_tenant(tenant_id)
    write_head(tenant_id)
    return number


@contextmanager
def as_superuser(database: Database) -> Iterator[Callable[[str], None]]:
    """Whoever can switch off triggers: the enemy."""
    connection = psycopg2.connect(database.superuser_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        yield cursor.execute
    connection.close()


def faults(verdict: Verdict) -> list[tuple[str, int | None, int | None, list[int]]]:
    return [(found.fault, found.first, found.last, found.ids) for found in verdict.findings]


def ids(tenant_id: int) -> list[int]:
    """Audit ids in the order of their positions."""
    with tenant_session(tenant_id) as session:
        return list(session.scalars(select(AuditSeal.audit_id).order_by(AuditSeal.position)))
