"""Statements that travel together: in their order, in one transaction, each tenant's for itself."""

from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, InterfaceError, InvalidRequestError, OperationalError

from models.instruments.tables import Department
from models.kernel import db
from models.kernel.db import engine
from models.kernel.pipeline import Asked, Pipeline, Prepared, as_json
from models.kernel.tenancy import (
    GroupLine,
    group_pipeline,
    group_session,
    switch_pipeline,
    tenant_pipeline,
    tenant_session,
)
from tests.conftest import Database
from tests.factories import make_tenant
from tests.kernel.statements import noted_statements

pytestmark = pytest.mark.store
ADD = Prepared(
    "test_add", "bigint, text", "INSERT INTO department (tenant_id, name, email) VALUES ($1, $2, 'x@lab.example')"
)


class Name(NamedTuple):
    name: str


class Number(NamedTuple):
    number: int


class Both(NamedTuple):
    number: int
    name: str


NAMES = Asked("test_names", "text", "SELECT name FROM department WHERE name >= $1 ORDER BY name", Name)
DIVIDE = Asked("test_divide", "bigint", "SELECT 1 / $1 AS number", Number)
PID = Asked("test_pid", "int", "SELECT pg_backend_pid() + $1 AS number", Number)
CUT = Asked("test_cut", "int", "SELECT pg_terminate_backend(pg_backend_pid() + $1) AS number", Number)
CROSSED = Asked("test_crossed", "int", "SELECT 'one' AS name, $1 AS number", Both)


def test_what_is_put_is_carried_out_before_what_is_asked_in_one_round_trip(database: Database) -> None:
    tenant_id = make_tenant("one")
    with tenant_session(tenant_id) as session:
        pipeline = Pipeline(session)
        pipeline.put(ADD, tenant_id, "b")
        pipeline.ask(NAMES, "")  # both are prepared now
        with noted_statements() as said:
            pipeline.put(ADD, tenant_id, "c")
            pipeline.put(ADD, tenant_id, "a")
            assert [row.name for row in pipeline.ask(NAMES, "a")] == ["a", "b", "c"]
        assert len(said) == 1
        pipeline.put(ADD, tenant_id, "d")
        pipeline.send()
        assert session.scalar(text("SELECT count(*) FROM department")) == 4


def test_rows_whose_columns_are_not_in_their_order_are_refused(database: Database) -> None:
    with group_pipeline() as pipeline, pytest.raises(AssertionError, match="test_crossed"):
        pipeline.ask(CROSSED, 1)


def test_tenants_that_are_switched_on_the_way_do_not_meet(database: Database) -> None:
    one, other = make_tenant("one"), make_tenant("other")
    with group_session() as session:
        pipeline = Pipeline(session)
        for tenant_id in (one, other):
            switch_pipeline(pipeline, tenant_id)
            pipeline.put(ADD, tenant_id, f"of {tenant_id}")
        assert [row.name for row in pipeline.ask(NAMES, "")] == [f"of {other}"]


def test_an_error_takes_everything_back_and_the_connection_serves_on(database: Database) -> None:
    tenant_id, line = make_tenant("one"), GroupLine()
    for divisor, expected in ((0, DataError), (1, None), (0, DataError), (2, None)):
        try:
            with line.session() as session:
                pipeline = Pipeline(session)
                switch_pipeline(pipeline, tenant_id)
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


def test_what_waits_is_sent_and_what_its_session_holds_is_written_at_the_end(database: Database) -> None:
    tenant_id = make_tenant("one")
    with tenant_pipeline(tenant_id) as pipeline:
        pipeline.send()
        pipeline.session.add(Department(tenant_id=tenant_id, name="b", email="x@lab.example"))
        pipeline.put(ADD, tenant_id, "a")
    with tenant_session(tenant_id) as session:
        assert session.scalars(text("SELECT name FROM department ORDER BY name")).all() == ["a", "b"]


def test_what_a_session_holds_is_written_for_the_tenant_it_was_added_for(database: Database) -> None:
    one, other = make_tenant("one"), make_tenant("other")
    with group_pipeline() as pipeline:
        for tenant_id in (one, other):
            switch_pipeline(pipeline, tenant_id)
            pipeline.send()
            pipeline.session.add(Department(tenant_id=tenant_id, name=f"of {tenant_id}", email="x@lab.example"))
    for tenant_id in (one, other):
        with tenant_session(tenant_id) as session:
            assert session.scalars(text("SELECT name FROM department")).all() == [f"of {tenant_id}"]


def test_an_error_outside_of_the_database_takes_everything_back_too(database: Database) -> None:
    tenant_id = make_tenant("one")

    def fail() -> None:
        with tenant_pipeline(tenant_id) as pipeline:
            pipeline.put(ADD, tenant_id, "a")
            pipeline.send()
            pipeline.session.add(Department(tenant_id=tenant_id, name="b", email="x@lab.example"))
            pipeline.session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with tenant_session(tenant_id) as session:
        assert session.scalar(text("SELECT count(*) FROM department")) == 0
    assert engine().pool.checkedout() == 0  # type: ignore[attr-defined] # of a QueuePool


def test_errors_are_told_without_the_values(database: Database) -> None:
    tenant_id = make_tenant("one")

    def fail() -> None:
        with tenant_pipeline(tenant_id) as pipeline:
            pipeline.put(ADD, tenant_id, "Doe^Jo")
            pipeline.ask(DIVIDE, 0)

    with pytest.raises(DataError) as told:
        fail()
    assert "division by zero" in str(told.value)
    assert "Doe^Jo" not in str(told.value)
    assert told.value.connection_invalidated is False


def test_a_connection_that_is_cut_is_told_so_and_not_used_again(database: Database) -> None:
    def cut() -> None:
        with group_pipeline() as pipeline:
            pipeline.ask(CUT, 0)
            pipeline.ask(NAMES, "")

    with pytest.raises(OperationalError) as told:
        cut()
    assert told.value.connection_invalidated is True
    assert engine().pool.checkedout() == 0  # type: ignore[attr-defined] # of a QueuePool
    with group_pipeline() as pipeline:
        assert pipeline.ask(DIVIDE, 1) == [Number(1)]


def test_after_a_cut_no_other_connection_fails_either(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "RESTED_SECONDS", 60.0)  # none is asked whether it works

    def use_four() -> list[int]:
        with ExitStack() as held:
            pipelines = [held.enter_context(group_pipeline()) for _ in range(4)]
            return [pipeline.ask(PID, 0)[0].number for pipeline in pipelines]

    before = use_four()
    with psycopg2.connect(database.superuser_url) as cutting, cutting.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) AS pid", [before])
    cutting.close()
    with pytest.raises(OperationalError), group_pipeline() as pipeline:
        pipeline.ask(PID, 0)
    assert set(use_four()).isdisjoint(before)


def test_a_connection_that_was_closed_is_told_so_too(database: Database) -> None:
    def use_closed() -> None:
        with engine().connect() as connection, connection.begin():
            pipeline = Pipeline(connection)
            connection.connection.dbapi_connection.close()  # type: ignore[union-attr] # it is there
            pipeline.ask(PID, 0)

    with pytest.raises(InterfaceError) as told:
        use_closed()
    assert told.value.connection_invalidated is True
    assert engine().pool.checkedout() == 0  # type: ignore[attr-defined] # of a QueuePool


def test_nothing_is_sent_once_the_transaction_has_ended(database: Database) -> None:
    tenant_id = make_tenant("one")

    def roll_back_on_the_way() -> None:
        with tenant_pipeline(tenant_id) as pipeline:
            pipeline.send()
            pipeline.session.execute(text("SELECT 1"))
            pipeline.session.rollback()
            pipeline.put(ADD, tenant_id, "lost")

    with pytest.raises(InvalidRequestError, match="has ended"):
        roll_back_on_the_way()


def test_a_session_that_was_given_is_not_committed_by_its_pipeline(database: Database) -> None:
    tenant_id = make_tenant("one")

    def finish_and_fail() -> None:
        with tenant_session(tenant_id) as session:
            pipeline = Pipeline(session)
            pipeline.put(ADD, tenant_id, "a")
            pipeline.finish()
            assert session.scalar(text("SELECT count(*) FROM department")) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finish_and_fail()
    with tenant_session(tenant_id) as session:
        assert session.scalar(text("SELECT count(*) FROM department")) == 0


def test_rows_travel_exactly(database: Database) -> None:
    given = [{"moment": datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC), "d": Decimal("98.60"), "b": b"\x00\xff", "n": None}]
    read = text(
        "SELECT r.moment, r.d, decode(r.b, 'hex') AS b, r.n "
        "FROM json_to_recordset(CAST(:rows AS json)) AS r(moment timestamptz, d numeric, b text, n bigint)"
    )
    with group_session() as session:
        row = session.execute(read, {"rows": as_json(given)}).one()
    assert (row.moment, str(row.d), bytes(row.b), row.n) == (given[0]["moment"], "98.60", b"\x00\xff", None)
