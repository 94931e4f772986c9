"""Audit rows can only be added, and their MAC is the same when they are read back."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from models.kernel.audit import Action, Actor, record
from models.kernel.tables import AuditEvent
from models.kernel.tenancy import owner_session, tenant_session
from models.kernel.verify import is_row_genuine
from tests.kernel.trail import write

pytestmark = pytest.mark.store


class TestContent:
    values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.decimals(allow_nan=False)
        | st.datetimes(timezones=st.just(UTC)),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )

    @hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(changes=st.dictionaries(st.text(), values, max_size=5), label=st.text())
    def test_the_mac_is_the_same_when_read_back(self, tenant: int, changes: dict[str, Any], label: str) -> None:
        """Any text (NUL and lone surrogates included), integers of any size, nesting, null, and the order of names."""
        with tenant_session(tenant) as session:
            record(session, tenant, Actor("user", "1", label), Action("thing.change", "thing", 1, changes))
        with tenant_session(tenant) as session:
            row = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
            assert is_row_genuine(row)

    def test_times_decimals_and_ids_are_kept_as_text(self, tenant: int) -> None:
        moment = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
        changes = {"at": moment, "on": date(2026, 11, 20), "value": Decimal("1.50"), "key": UUID(int=1), 7: (1, 2)}
        write(tenant, 1, changes)
        with tenant_session(tenant) as session:
            row = session.scalars(select(AuditEvent)).one()
            assert row.changes == {
                "at": "2026-11-20T08:30:00.000000+00:00",
                "on": "2026-11-20",
                "value": "1.50",
                "key": str(UUID(int=1)),
                "7": [1, 2],
            }
            assert is_row_genuine(row)

    def test_a_float_is_refused(self, tenant: int) -> None:
        with pytest.raises(TypeError, match="float has no place"):
            write(tenant, 1, {"value": [1, {"deep": 0.1}]})


class TestAppendOnly:
    statements = pytest.mark.parametrize(
        "statement",
        [
            "UPDATE {table} SET tenant_id = tenant_id",
            "DELETE FROM {table}",
            "TRUNCATE {table}",
            "UPDATE {table} SET tenant_id = tenant_id WHERE false",
        ],
    )
    tables = pytest.mark.parametrize("table", ["audit_event", "audit_seal"])

    @statements
    @tables
    def test_the_application_role_has_no_right(self, tenant: int, statement: str, table: str) -> None:
        with pytest.raises(ProgrammingError, match="permission denied"), tenant_session(tenant) as session:
            session.execute(text(statement.format(table=table)))

    @statements
    @tables
    def test_the_owner_is_refused_by_the_trigger(self, tenant: int, statement: str, table: str) -> None:
        with pytest.raises(ProgrammingError, match="append-only"), owner_session() as session:
            session.execute(text(statement.format(table=table)))

    def test_a_row_cannot_be_written_over(self, tenant: int) -> None:
        write(tenant)
        replace = (
            "INSERT INTO audit_event SELECT * FROM audit_event ON CONFLICT (tenant_id, id) DO UPDATE SET action = 'x'"
        )
        with pytest.raises(ProgrammingError, match="permission denied"), tenant_session(tenant) as session:
            session.execute(text(replace))
