"""Files with vital signs: one of 100,000 readings against COPY of the same rows, and 10,000 of one reading each."""

import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.database import fresh_database
from benchmarks.results import Row

READINGS, FILES, DEVICES, ROUNDS = 100_000, 10_000, 100, 3
FILES_A_SECOND = 300
COPIED = (
    "id, recorded_at, received_at, patient_id, data_source, device_id, content, heart_rate, blood_pressure_systolic, "
    "blood_pressure_diastolic, temperature, temperature_given, temperature_unit, oxygen_saturation, tenant_id, raw"
)


def measure() -> list[Row]:
    """Rows for the two figures; the rounds of one file and of COPY take turns, and their medians are compared."""
    with fresh_database() as version, tempfile.TemporaryDirectory(prefix="labwire-files-") as folder:
        print(version)
        tenant_id = _clinic()
        with _inbox(Path(folder)) as inbox:
            return _measure(tenant_id, inbox)


def _measure(tenant_id: int, inbox: Path) -> list[Row]:
    begin = datetime.now(UTC) - timedelta(days=20)
    _one_file(inbox, begin, READINGS // 50)  # imports the suite
    ours, copy = [], []
    for number in range(1, ROUNDS + 1):
        started = begin + timedelta(milliseconds=number)
        ours.append(_one_file(inbox, started, READINGS))
        copy.append(_copy(tenant_id, started))
        print(f"round {number}: file {ours[-1]:.2f} s, COPY {copy[-1]:.2f} s", flush=True)
    mine, limit = READINGS / statistics.median(ours), READINGS / statistics.median(copy)
    small = _many_files(inbox, begin + timedelta(milliseconds=ROUNDS + 1))
    return [
        Row(f"vitals: one file of {READINGS:,}", mine, "readings/s", "COPY of the same rows", limit, ">= 0.25"),
        Row(f"vitals: {FILES:,} files of one", FILES / small, "files/s", "the goal", FILES_A_SECOND, ">= 1.0"),
    ]


def _clinic() -> int:
    from models.kernel.audit import SYSTEM
    from models.kernel.tenancy import tenant_session
    from models.people.tables import Patient
    from models.vitals.schemas import DeviceIn, WearerIn
    from models.vitals.stores.devices import assign_patient, create_device
    from tests.factories import make_tenant

    tenant_id = make_tenant("clinic")
    with tenant_session(tenant_id) as session:
        for number in range(DEVICES):
            patient = Patient(tenant_id=tenant_id, code=f"P{number}", family_name="Doe", given_names="Jo")
            session.add(patient)
            session.flush()
            device = create_device(session, tenant_id, SYSTEM, DeviceIn(device_id=f"DEV{number}", name="Monitor"))
            since = datetime.now(UTC) - timedelta(days=100)
            assign_patient(session, tenant_id, SYSTEM, device.id, WearerIn(patient_id=patient.id, since=since))
    return tenant_id


@contextmanager
def _inbox(folder: Path) -> Iterator[Path]:
    from models.kernel.settings import settings
    from tasks.vitals import inbox

    inbox.SETTLED_SECONDS = 0.0
    (folder / "inbox").mkdir()
    os.environ |= {"LABWIRE_IOT_INBOX_DIR": str(folder / "inbox"), "LABWIRE_IOT_DEFAULT_TENANT": "clinic"}
    settings.cache_clear()
    yield folder / "inbox"


def _reading(number: int, begin: datetime) -> dict[str, Any]:
    return {
        "device_id": f"DEV{number % DEVICES}",
        "timestamp": (begin + timedelta(seconds=number)).isoformat(),
        "heart_rate": 60 + number % 40,
        "blood_pressure_systolic": 120,
        "blood_pressure_diastolic": 80,
        "temperature": 98.6,
        "temperature_unit": "F",
        "oxygen_saturation": 97.5,
    }


def _one_file(inbox: Path, begin: datetime, number: int) -> float:
    """Seconds from the claim to the archive, everything but Prefect's own share."""
    (inbox / "many.json").write_text(json.dumps([_reading(one, begin) for one in range(number)]))
    return _timed(f"files archived 1, readings stored {number}")


def _many_files(inbox: Path, begin: datetime) -> float:
    for number in range(FILES):
        (inbox / f"{number:05}.json").write_text(json.dumps(_reading(number, begin)))
    return _timed(f"files archived {FILES}, readings stored {FILES}")


def _timed(expected: str) -> float:
    from models.kernel.audit import SYSTEM
    from tasks.vitals.ingest import ingest

    os.sync()
    gc.collect()
    began = time.perf_counter()
    report = ingest("", SYSTEM)
    seconds = time.perf_counter() - began
    if report.tally.message != expected:
        raise RuntimeError(report.tally.message)
    return seconds


def _copy(tenant_id: int, begin: datetime) -> float:
    """Seconds of COPY of the rows just stored into the same table, a little later in time, in one transaction.

    As the owner, and with row-level security not forced on it: PostgreSQL has no COPY FROM under row-level security.
    """
    import io

    from models.kernel.db import owner_engine

    connection = owner_engine().raw_connection()
    try:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE vital_sign NO FORCE ROW LEVEL SECURITY")
            cursor.execute("SELECT set_config('labwire.tenant_id', %s, true)", [str(tenant_id)])
            later = COPIED.replace(
                "id, recorded_at", "nextval('vital_sign_id_seq'), recorded_at + interval '500 us'", 1
            )
            wanted = f"SELECT {later} FROM vital_sign WHERE recorded_at >= %s AND mod(extract(microseconds FROM "
            rows = io.StringIO()
            statement = cursor.mogrify(f"{wanted}recorded_at - %s)::bigint, 1000000) = 0", [begin, begin]).decode()
            cursor.copy_expert(f"COPY ({statement}) TO STDOUT", rows)
            rows.seek(0)
            began = time.perf_counter()
            cursor.copy_expert(f"COPY vital_sign ({COPIED}) FROM STDIN", rows)
            if cursor.rowcount != READINGS:
                raise RuntimeError(f"COPY took {cursor.rowcount} rows")
            seconds = time.perf_counter() - began
            cursor.execute("ALTER TABLE vital_sign FORCE ROW LEVEL SECURITY")
        began = time.perf_counter()
        connection.commit()
        return seconds + time.perf_counter() - began
    finally:
        connection.close()
