"""Readings of a benchmark: whose they are, COPY of rows that are there, and millions of them at once."""

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import make_url

COPIED = (
    "id, recorded_at, received_at, patient_id, data_source, device_id, content, heart_rate, blood_pressure_systolic, "
    "blood_pressure_diastolic, temperature, temperature_given, temperature_unit, oxygen_saturation, tenant_id, raw"
)
LATER = COPIED.replace("id, recorded_at", "nextval('vital_sign_id_seq'), recorded_at + interval '500 us'", 1)
FILLED = "labwire_filled"
FOREIGN = ("vital_sign_tenant_id_device_id_fkey", "vital_sign_tenant_id_patient_id_fkey")


def memory_mb(pid: int) -> tuple[float, float]:
    """What a process has resident now, and the most it ever had."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (float(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def make_devices(prefix: str, number: int) -> tuple[int, list[str]]:
    """A tenant with devices `<prefix>000` ..., each on a patient of its own since 100 days; its id, and their keys.

    No limit of a minute stands in the way.
    """
    from models.kernel.audit import SYSTEM
    from models.kernel.tables import Tenant
    from models.kernel.tenancy import owner_session, tenant_session
    from models.people.tables import Patient
    from models.vitals.schemas import DeviceIn, DeviceKeyIn, WearerIn
    from models.vitals.stores.devices import assign_patient, create_device
    from models.vitals.stores.keys import issue_key
    from models.vitals.tables import VitalsPolicy

    with owner_session() as session:
        tenant = Tenant(slug="clinic", name="Clinic", time_zone="UTC")
        session.add(tenant)
        session.flush()
        tenant_id = tenant.id
    keys = []
    with tenant_session(tenant_id) as session:
        session.add(VitalsPolicy(tenant_id=tenant_id, device_rate_per_minute=10**9, tenant_rate_per_minute=10**9))
        for index in range(number):
            patient = Patient(tenant_id=tenant_id, code=f"P{index}", family_name="B", given_names="B")
            session.add(patient)
            session.flush()
            device = create_device(session, tenant_id, SYSTEM, DeviceIn(device_id=f"{prefix}{index:03}", name="Bench"))
            since = datetime.now(UTC) - timedelta(days=100)
            assign_patient(session, tenant_id, SYSTEM, device.id, WearerIn(patient_id=patient.id, since=since))
            keys.append(issue_key(session, tenant_id, SYSTEM, device.id, DeviceKeyIn())[1])
    return tenant_id, keys


def copy(tenant_id: int, condition: str, values: Sequence[Any]) -> tuple[int, float]:
    """How many rows there were, and the seconds of a COPY of them into the same table, a little later in time.

    As the owner, and with row-level security not forced on it: PostgreSQL has no COPY FROM under row-level security.
    """
    with _owner(tenant_id) as (cursor, commit):
        rows = io.StringIO()
        wanted = cursor.mogrify(f"SELECT {LATER} FROM vital_sign WHERE {condition}", values).decode()
        cursor.copy_expert(f"COPY ({wanted}) TO STDOUT", rows)
        rows.seek(0)
        began = time.perf_counter()
        cursor.copy_expert(f"COPY vital_sign ({COPIED}) FROM STDIN", rows)
        number = cursor.rowcount
        seconds = time.perf_counter() - began
        cursor.execute("ALTER TABLE vital_sign FORCE ROW LEVEL SECURITY")
        began = time.perf_counter()
        commit()
        return number, seconds + time.perf_counter() - began


def filled_copy(superuser_url: str, tenant_id: int, number: int) -> str:
    """The address, for the application role, of a copy of the database in which so many readings are stored."""
    from models.kernel import db
    from models.kernel.settings import settings

    db.engine().dispose()
    db.owner_engine().dispose()
    few, owner_few = settings().required("database_url"), settings().required("database_owner_url")
    name = db.driver_url(few).database
    with closing(psycopg2.connect(superuser_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE {FILLED} TEMPLATE "{name}" OWNER labwire_owner')
            with closing(psycopg2.connect(_named(owner_few, FILLED))) as filled:
                _fill(filled, tenant_id, number)
            cursor.execute("CHECKPOINT")
    return _named(few, FILLED)


def _named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _fill(connection: Any, tenant_id: int, number: int) -> None:
    """Readings of the two years before, of all devices. Their keys are made at the end, not looked up one by one."""
    columns = COPIED.replace("id, ", "", 1)
    with connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE vital_sign NO FORCE ROW LEVEL SECURITY")
        for name in FOREIGN:
            cursor.execute(f"ALTER TABLE vital_sign DROP CONSTRAINT {name}")
        cursor.execute(
            f"INSERT INTO vital_sign ({columns}) "
            "SELECT now() - interval '1 day' - n * (interval '700 days' / %s), now(), d.patient_id, 'device', "
            "d.device_id, sha256(int8send(n)), 75, 120, 80, 37.00, 98.6, 'F', 98.0, %s, "
            """'{"device_id": "BENCH001", "heart_rate": 75}' """
            "FROM generate_series(1, %s) n JOIN (SELECT device_id, patient_id, row_number() OVER (ORDER BY device_id) "
            "AS place, count(*) OVER () AS number FROM device_patient) d ON d.place = n %% d.number + 1",
            [number, tenant_id, number],
        )
        for name, target in zip(FOREIGN, ("device", "patient"), strict=True):
            cursor.execute(
                f"ALTER TABLE vital_sign ADD CONSTRAINT {name} FOREIGN KEY (tenant_id, {target}_id) "
                f"REFERENCES {target} (tenant_id, id)"
            )
        cursor.execute("ALTER TABLE vital_sign FORCE ROW LEVEL SECURITY")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE vital_sign")


@contextmanager
def _owner(tenant_id: int) -> Iterator[tuple[Any, Any]]:
    from models.kernel.db import owner_engine

    connection = owner_engine().raw_connection()
    try:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE vital_sign NO FORCE ROW LEVEL SECURITY")
            cursor.execute("SELECT set_config('labwire.tenant_id', %s, false)", [str(tenant_id)])
            yield cursor, connection.commit
    finally:
        connection.close()
