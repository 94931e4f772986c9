"""A clinic with a patient who wears a device, and a client at the devices' door."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from api.vitals import doors, keys
from models.kernel.audit import SYSTEM
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from models.people.tables import Patient
from models.vitals.schemas import DeviceIn, DeviceKeyIn, WearerIn
from models.vitals.stores import storing
from models.vitals.stores.devices import assign_patient, create_device
from models.vitals.stores.keys import issue_key
from tests.api.helpers import client
from tests.conftest import Database
from tests.factories import make_tenant
from tests.vitals.serving import served


@dataclass
class Clinic:
    """One tenant, and what its tests make there."""

    tenant_id: int
    door: TestClient = field(default_factory=client)

    def patient(self, code: str = "P123") -> int:
        with tenant_session(self.tenant_id) as session:
            patient = Patient(tenant_id=self.tenant_id, code=code, family_name="Doe", given_names="Jo")
            session.add(patient)
            session.flush()
            return patient.id

    def device(self, code: str = "DEV001", patient_id: int | None = None, **more: Any) -> int:
        with tenant_session(self.tenant_id) as session:
            given = DeviceIn(device_id=code, name=f"Device {code}", **more)
            device = create_device(session, self.tenant_id, SYSTEM, given)
            if patient_id is not None:
                assign_patient(session, self.tenant_id, SYSTEM, device.id, WearerIn(patient_id=patient_id))
            device_id = device.id
        self.worn_since(device_id, days=400)
        return device_id

    def worn_since(self, device_id: int, *, days: float) -> None:
        """As if it had been given to its patient so long ago."""
        statement = "UPDATE device_patient SET assigned_from = now() - make_interval(secs => :s) WHERE device_id = :d"
        with tenant_session(self.tenant_id) as session:
            session.execute(text(statement), {"s": days * 86400, "d": device_id})

    def key(self, device_id: int, **more: Any) -> str:
        with tenant_session(self.tenant_id) as session:
            return issue_key(session, self.tenant_id, SYSTEM, device_id, DeviceKeyIn(**more))[1]

    def post(self, key: str, body: Any, path: str = "/api/iot/vitals/") -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        if isinstance(body, bytes):
            return self.door.post(path, content=body, headers=headers | {"Content-Type": "application/json"})
        return self.door.post(path, json=body, headers=headers)

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with tenant_session(self.tenant_id) as session:
            return list(session.execute(text(statement), values).all())


@pytest.fixture
def clinic(database: Database) -> Clinic:
    forget()
    return Clinic(make_tenant("clinic"))


def forget() -> None:
    """What a process remembers of a database that was another test's."""
    doors.LIMITS.forget()
    keys.forget()
    storing.forget_ids()


@dataclass
class Worn:
    """A device on a patient, and its key."""

    clinic: Clinic
    patient_id: int
    device_id: int
    key: str

    def post(self, body: Any, path: str = "/api/iot/vitals/") -> Any:
        return self.clinic.post(self.key, body, path)


@pytest.fixture
def worn(clinic: Clinic) -> Worn:
    patient_id = clinic.patient()
    device_id = clinic.device("DEV001", patient_id)
    return Worn(clinic, patient_id, device_id, clinic.key(device_id))


@pytest.fixture
def address(worn: Worn) -> Iterator[str]:
    """The API at a real address."""
    with served() as url:
        yield url


@pytest.fixture
def drop(worn: Worn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An inbox whose files are taken at once; those that must settle first have tests of their own."""
    from tasks.vitals import inbox
    from tests.vitals.files import Drop, point_to  # they take seconds to import

    monkeypatch.setattr(inbox, "SETTLED_SECONDS", 0.0)
    point_to(tmp_path / "iot", monkeypatch)
    yield Drop(worn.clinic, tmp_path / "iot")
    settings.cache_clear()
