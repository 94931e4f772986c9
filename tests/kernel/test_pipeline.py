"""Statements that travel together: in their order, in one transaction, each tenant's for itself."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DataError

from models.kernel.db import engine
from models.kernel.pipeline import Pipeline, Prepared, as_json
from models.kernel.tenancy import GroupLine, group_session, switch_tenant, tenant_session
from tests.conftest import Database
from tests.factories import make_tenant

pytestmark = pytest.mark.store
ADD = Prepared(
    "test_add", "bigint, text", "INSERT INTO department (tenant_id, name, email) VALUES ($1, $2, 'x@lab.example')"
)
NAMES = Prepared("test_names", "text", "SELECT name FROM department WHERE name >= $1 ORDER BY name")
DIVIDE = Prepared("test_divide", "bigint", "SELECT 1 / $1")


def test_what_is_put_is_carried_out_before_what_is_asked_in_one_round_trip(database: Database) -> None:
    tenant_id = make_tenant("one")
    with tenant_session(tenant_id) as session:
        pipeline = Pipeline(session)
        pipeline.put(ADD, tenant_id, "b")
        pipeline.ask(NAMES, "")  # both are prepared now
        said: list[str] = []
        listen = lambda *given: said.append(given[2])  # noqa: E731
        event.listen(engine(), "before_cursor_execute", listen)
        pipeline.put(ADD, tenant_id, "c")
        pipeline.put(ADD, tenant_id, "a")
        assert [row.name for row in pipeline.ask(NAMES, "a")] == ["a", "b", "c"]
        event.remove(engine(), "before_cursor_execute", listen)
        assert len(said) == 1
        pipeline.put(ADD, tenant_id, "d")
        pipeline.send()
        assert session.scalar(text("SELECT count(*) FROM department")) == 4


def test_tenants_that_are_switched_on_the_way_do_not_meet(database: Database) -> None:
    one, other = make_tenant("one"), make_tenant("other")
    with group_session() as session:
        pipeline = Pipeline(session)
        for tenant_id in (one, other):
            switch_tenant(session, tenant_id, pipeline)
            pipeline.put(ADD, tenant_id, f"of {tenant_id}")
        assert [row.name for row in pipeline.ask(NAMES, "")] == [f"of {other}"]


def test_an_error_takes_everything_back_and_the_connection_serves_on(database: Database) -> None:
    tenant_id, line = make_tenant("one"), GroupLine()
    for divisor, expected in ((0, DataError), (1, None), (0, DataError), (2, None)):
        try:
            with line.session() as session:
                pipeline = Pipeline(session)
                switch_tenant(session, tenant_id, pipeline)
                pipeline.put(ADD, tenant_id, f"by {divisor}")
                pipeline.ask(DIVIDE, divisor)
        except DataError:
            assert expected is DataError
        else:
            assert expected is None
    line.let_go()
    assert engine().pool.checkedout() == 0  # type: ignore[attr-defined] # of a QueuePool
    with tenant_session(tenant_id) as session:
        assert session.scalars(text("SELECT name FROM department ORDER BY name")).all() == ["by 1", "by 2"]


def test_rows_travel_exactly(database: Database) -> None:
    given = [{"moment": datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC), "d": Decimal("98.60"), "b": b"\x00\xff", "n": None}]
    read = text(
        "SELECT r.moment, r.d, decode(r.b, 'hex') AS b, r.n "
        "FROM json_to_recordset(CAST(:rows AS json)) AS r(moment timestamptz, d numeric, b text, n bigint)"
    )
    with group_session() as session:
        row = session.execute(read, {"rows": as_json(given)}).one()
    assert (row.moment, str(row.d), bytes(row.b), row.n) == (given[0]["moment"], "98.60", b"\x00\xff", None)
