"""A laboratory of benchmark size, written with a few statements."""

from dataclasses import dataclass

from sqlalchemy import text

from benchmarks.fleet import Fleet
from models.instruments.stores.connections import key_context
from models.instruments.tables import Department, Equipment, EquipmentKey
from models.kernel.secrets import encrypt
from models.kernel.tables import Tenant
from models.kernel.tenancy import owner_session, tenant_session

PATIENTS = 500
ORDER = text("""
WITH made AS (
    INSERT INTO assignment
        (tenant_id, patient_id, test_id, equipment_id, department_id, sample_id, request_id, priority)
    SELECT :tenant_id, (SELECT min(id) FROM patient) + g % :patients, (SELECT id FROM test_definition),
           CAST((CAST(:equipment AS bigint[]))[1 + g % cardinality(CAST(:equipment AS bigint[]))] AS bigint),
           :department_id, 'SAMP-' || g, 'REQ-' || :round || '-' || g,
           (ARRAY['routine', 'routine', 'urgent', 'stat'])[1 + g % 4]
    FROM generate_series(1, :number) g RETURNING *
), told AS (
    INSERT INTO outbox_event (tenant_id, type, entity, payload)
    SELECT :tenant_id, 'assignment.ordered', 'assignment:' || id,
           jsonb_build_object('assignment_id', id, 'run_number', 1, 'request_id', request_id)
    FROM made RETURNING id, entity
)
INSERT INTO delivery (tenant_id, event_id, destination, entity, priority)
SELECT :tenant_id, told.id, 'instrument:' || made.equipment_id, told.entity,
       CASE made.priority WHEN 'stat' THEN 0 WHEN 'urgent' THEN 1 ELSE 2 END
FROM told JOIN made ON told.entity = 'assignment:' || made.id
""")


@dataclass(frozen=True, slots=True)
class Laboratory:
    """One tenant with an instrument for each of the fleet's."""

    tenant_id: int
    department_id: int
    equipment: list[int]

    def order(self, number: int, *, round_number: int) -> None:
        """So many assignments, spread evenly over instruments, patients and priorities, each due to be sent."""
        values = {
            "tenant_id": self.tenant_id,
            "department_id": self.department_id,
            "equipment": self.equipment,
            "number": number,
            "round": round_number,
            "patients": PATIENTS,
        }
        with tenant_session(self.tenant_id) as session:
            session.execute(ORDER, values)

    def count(self, status: str) -> int:
        """How many assignments are in that state."""
        statement = text("SELECT count(*) FROM assignment WHERE tenant_id = :tenant_id AND status = :status")
        with tenant_session(self.tenant_id) as session:
            return int(session.execute(statement, {"tenant_id": self.tenant_id, "status": status}).scalar_one())


def make_laboratory(fleet: Fleet) -> Laboratory:
    """A tenant, its patients, one test with a reference range, and an instrument at each of the fleet's addresses."""
    with owner_session() as session:
        tenant = Tenant(slug="benchmark", name="Benchmark", time_zone="UTC")
        session.add(tenant)
        session.flush()
        tenant_id = tenant.id
    with tenant_session(tenant_id) as session:
        department = Department(tenant_id=tenant_id, name="Haematology")
        session.add(department)
        session.flush()
        session.execute(
            text(
                "INSERT INTO patient (tenant_id, code, family_name, given_names, sex, birth_date) "
                "SELECT :t, 'PAT-' || g, 'Doe', 'Jo', 'female', DATE '1980-01-01' FROM generate_series(1, :n) g"
            ),
            {"t": tenant_id, "n": PATIENTS},
        )
        session.execute(
            text(
                "WITH made AS (INSERT INTO test_definition (tenant_id, code, loinc, name, specimen_type, unit, "
                "plausible_low, plausible_high, panic_low, panic_high) "
                "VALUES (:t, 'LAB-CBC', '58410-2', 'CBC', 'Blood', 'g/dL', 1, 30, 6, 20) RETURNING id) "
                "INSERT INTO reference_range (tenant_id, test_id, sex, low, high) "
                "SELECT :t, id, 'female', 12, 16 FROM made"
            ),
            {"t": tenant_id},
        )
        equipment = [
            Equipment(
                tenant_id=tenant_id,
                name=f"Analyser {number}",
                model="Model-2000",
                department_id=department.id,
                api_endpoint=url,
                is_idempotent=True,
                supports_auto_fetch=True,
            )
            for number, url in enumerate(fleet.urls, 1)
        ]
        session.add_all(equipment)
        session.flush()
        for one in equipment:
            secret = encrypt(fleet.key, context=key_context(tenant_id, one.id))
            session.add(EquipmentKey(tenant_id=tenant_id, equipment_id=one.id, secret=secret))
        return Laboratory(tenant_id, department.id, [one.id for one in equipment])
