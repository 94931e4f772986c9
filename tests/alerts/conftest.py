"""A clinic whose patients can be asked, and whose ladder tells three people."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models.alerts.schemas import ContactIn, PolicyIn
from models.alerts.stores.escalation import Escalated, escalate
from models.alerts.stores.raising import Seen, raise_alerts
from models.alerts.stores.setup import add_contact, set_policy
from models.kernel.audit import SYSTEM
from models.kernel.mail import open_secrets
from models.kernel.tenancy import tenant_session
from models.people.tables import Patient
from tests.conftest import Database
from tests.factories import make_tenant

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@dataclass
class Clinic:
    """One tenant; its clock is `now`, and each reading gets the next number."""

    tenant_id: int
    now: datetime = START
    readings: int = 0
    patients: dict[str, int] = field(default_factory=dict)

    def patient(self, code: str = "P1", *, email: str | None = "jo@home.example") -> int:
        if code not in self.patients:
            with tenant_session(self.tenant_id) as session:
                patient = Patient(tenant_id=self.tenant_id, code=code, family_name="Doe", given_names="Jo", email=email)
                session.add(patient)
                session.flush()
                self.patients[code] = patient.id
        return self.patients[code]

    def contacts(self, *roles: str) -> None:
        with tenant_session(self.tenant_id) as session:
            for role in roles or ("doctor", "nurse", "emergency"):
                given = ContactIn(role=role, name=role.title(), address=f"{role}@clinic.example")
                add_contact(session, self.tenant_id, SYSTEM, given)

    def policy(self, **more: Any) -> None:
        given = {
            "version": 0,
            "ladder": [
                {"after_minutes": 0, "roles": ["doctor", "nurse"]},
                {"after_minutes": 10, "roles": ["emergency"]},
            ],
            "question_minutes": 5,
            "critical_skips_question": False,
        }
        with tenant_session(self.tenant_id) as session:
            set_policy(session, self.tenant_id, SYSTEM, PolicyIn.model_validate(given | more))

    def seen(self, code: str = "P1", *, minutes: float = 0, **values: Any) -> Seen:
        self.readings += 1
        whole = {name: values.pop(name, None) for name in ("consciousness", "supplemental_oxygen")}
        measured = {name: Decimal(str(value)) for name, value in values.items()}
        at = self.now + timedelta(minutes=minutes)
        return Seen(self.readings, self.patient(code), at, measured, **whole)

    def store(self, *readings: Seen) -> dict[int, int]:
        with tenant_session(self.tenant_id) as session:
            return raise_alerts(session, self.tenant_id, readings, now=self.now)

    def reads(self, code: str = "P1", **values: Any) -> int:
        """One reading of now; how many alerts it triggered. The clock goes on by a second."""
        one = self.seen(code, **values)
        counts = self.store(one)
        self.now += timedelta(seconds=1)
        return counts.get(one.vital_sign_id, 0)

    def later(self, **time: float) -> Escalated:
        """The clock moves, and the ladder is driven."""
        self.now += timedelta(**time)
        with tenant_session(self.tenant_id) as session:
            return escalate(session, self.tenant_id, self.now)

    def rows(self, statement: str, **values: Any) -> Sequence[Any]:
        with tenant_session(self.tenant_id) as session:
            return session.execute(text(statement), values).all()

    def alerts(self) -> list[tuple[str, str, str | None]]:
        return [tuple(row) for row in self.rows("SELECT kind, level, ending FROM alert ORDER BY id")]

    def story(self) -> list[str]:
        return [row.name for row in self.rows("SELECT name FROM alert_event ORDER BY id")]

    def mails(self, template: str = "alert_raised") -> list[dict[str, Any]]:
        """What was mailed, in order, with what was sealed opened."""
        wanted = "SELECT payload FROM outbox_event WHERE payload ->> 'template' = :template ORDER BY id"
        mails = [row.payload for row in self.rows(wanted, template=template)]
        return [mail | open_secrets(self.tenant_id, mail["sealed"]) for mail in mails]

    def told(self) -> list[str]:
        return [mail["to"][0].partition("@")[0] for mail in self.mails()]

    def token(self, number: int = -1) -> str:
        return str(self.mails("alert_question")[number]["link"]).rpartition("/")[2]


@pytest.fixture
def clinic(database: Database) -> Clinic:
    made = Clinic(make_tenant("clinic"))
    made.contacts()
    return made


@pytest.fixture
def no_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flows that were asked for; no server is called."""
    from api import runs  # not for every test: it takes a second

    asked: list[str] = []

    class Noted:
        def add(self, flow: str, tenant: str, ids: Any) -> None:
            asked.append(flow)

    monkeypatch.setattr(runs, "_wishes", Noted)
    return asked
