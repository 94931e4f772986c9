"""Tenant isolation is the database's work: these tests use the application role and nothing else."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from models.kernel.db import engine
from models.kernel.tenancy import owner_session, tenant_session
from models.people.tables import Patient
from tests.conftest import Database
from tests.factories import make_tenant

pytestmark = pytest.mark.store


@pytest.fixture
def two_tenants(database: Database) -> tuple[int, int]:
    return make_tenant("alpha"), make_tenant("beta")


def add_patient(tenant_id: int, code: str) -> int:
    with tenant_session(tenant_id) as session:
        patient = Patient(tenant_id=tenant_id, code=code, family_name="Doe", given_names="Jo")
        session.add(patient)
        session.flush()
        return patient.id


def test_rows_of_another_tenant_are_not_seen(two_tenants: tuple[int, int]) -> None:
    alpha, beta = two_tenants
    add_patient(alpha, "P1")
    with tenant_session(beta) as session:
        assert session.scalar(text("SELECT count(*) FROM patient")) == 0


def test_rows_cannot_be_written_for_another_tenant(two_tenants: tuple[int, int]) -> None:
    alpha, beta = two_tenants
    with pytest.raises(ProgrammingError, match="row-level security"), tenant_session(alpha) as session:
        session.add(Patient(tenant_id=beta, code="P1", family_name="Doe", given_names="Jo"))


def test_a_session_without_a_tenant_sees_nothing(two_tenants: tuple[int, int]) -> None:
    add_patient(two_tenants[0], "P1")
    with engine().connect() as connection:
        for table in ("tenant", "patient", "audit_event", "delivery"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def test_the_tenant_is_forgotten_with_the_transaction(two_tenants: tuple[int, int]) -> None:
    add_patient(two_tenants[0], "P1")
    with engine().connect() as connection:
        with connection.begin():
            connection.execute(text("SELECT set_config('labwire.tenant_id', :id, true)"), {"id": str(two_tenants[0])})
            assert connection.scalar(text("SELECT count(*) FROM patient")) == 1
        assert connection.scalar(text("SELECT count(*) FROM patient")) == 0


def test_the_owner_can_back_up_every_row(two_tenants: tuple[int, int]) -> None:
    add_patient(two_tenants[0], "P1")
    with owner_session() as session:
        assert session.scalar(text("SELECT count(*) FROM patient")) == 1
