"""A small laboratory for tests: people, patients, an instrument and a few tests, made through the stores."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text, update

from models.instruments.catalogue_inputs import PanelInput, RangeInput, TestInput
from models.instruments.inputs import EquipmentInput, OrderInput
from models.instruments.result_rules import CheckedResult, Violation, check_result, parse_result
from models.instruments.stores.catalogue import create_test, save_panel
from models.instruments.stores.equipment import create_equipment
from models.instruments.stores.orders import order_many
from models.instruments.stores.results import Outcome, complete_or_hold, load_expected
from models.instruments.tables import Assignment, HeldResult, InstrumentMessage, Result
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.tables import AuditEvent, Delivery
from models.kernel.tenancy import tenant_session
from models.people.tables import Patient, User
from tests.factories import make_tenant

FLOW = Actor("flow", "poll-results", "poll-results")


@dataclass
class Lab:
    """One tenant's laboratory."""

    tenant_id: int
    equipment_id: int
    patient_id: int
    actors: dict[str, Actor] = field(default_factory=dict)

    def actor(self, name: str = "tina") -> Actor:
        """A person by name, made when first named."""
        if name not in self.actors:
            with tenant_session(self.tenant_id) as session:
                user = User(
                    tenant_id=self.tenant_id, email=f"{name}@lab.example", name=name.title(), roles=["technician"]
                )
                session.add(user)
                session.flush()
                self.actors[name] = Actor("user", str(user.id), user.email)
        return self.actors[name]

    def order(self, test_code: str = "LAB-HGB", *, count: int = 1, **given: Any) -> list[int]:
        """Assignments of this test, all orders alike; their ids."""
        values = {"patient_code": "PAT-001", "test_code": test_code, "sample_id": "SAMP-123"} | given
        orders = [OrderInput.model_validate({k: v for k, v in values.items() if v is not None})] * count
        with tenant_session(self.tenant_id) as session:
            return order_many(session, self.tenant_id, self.actor(), orders)

    def queued(self, test_code: str = "LAB-HGB", *, count: int = 1, **given: Any) -> list[int]:
        """Assignments that are queued, as the flow leaves them: queue id 1000 + id, delivery done."""
        ids = self.order(test_code, count=count, **given)
        with tenant_session(self.tenant_id) as session:
            session.execute(
                text(
                    "UPDATE assignment SET status = 'Q', queue_id = (1000 + id)::text, queued_at = now(), "
                    "next_poll_at = now() WHERE tenant_id = :t AND id = ANY(:ids)"
                ),
                {"t": self.tenant_id, "ids": ids},
            )
            entities = [f"assignment:{one}" for one in ids]
            session.execute(
                update(Delivery)
                .where(Delivery.tenant_id == self.tenant_id, Delivery.entity.in_(entities))
                .values(state="done", sent_at=utc_now(), attempts=1)
            )
        return ids

    def body(self, assignment_id: int, **changed: Any) -> bytes:
        """The documented answer that fits the assignment, with some names changed (None: left out)."""
        with tenant_session(self.tenant_id) as session:
            one = load_expected(session, self.tenant_id, [assignment_id])[assignment_id]
        content: dict[str, Any] = {
            "id": int(one.queue_id) if one.queue_id else 1000 + assignment_id,
            "patientId": one.patient_code,
            "testName": one.test_name,
            "value": "13.5" if one.result_type == "numeric" else "negative",
            "unit": one.unit,
            "status": "completed",
            "remarks": "",
            "qualityControl": "Passed",
            "completedAt": utc_now().isoformat(),
        }
        content |= changed
        return json.dumps({name: value for name, value in content.items() if value is not None}).encode()

    def answer(self, assignment_id: int, body: bytes | None = None, *, run_number: int | None = None) -> Outcome:
        """A polled answer through the checks, as the flow does it."""
        return self.answer_many({assignment_id: body or self.body(assignment_id)}, run_number=run_number)[0]

    def answer_many(self, bodies: dict[int, bytes], *, run_number: int | None = None) -> list[Outcome]:
        """Several answers in one transaction."""
        now = utc_now()
        with tenant_session(self.tenant_id) as session:
            expected = load_expected(session, self.tenant_id, bodies)
            checked = []
            for assignment_id, body in bodies.items():
                one = expected[assignment_id]
                run = run_number or one.run_number
                message_id = self.keep(session, assignment_id, run, body, now)
                result = parse_result(body)
                if isinstance(result, Violation):
                    checked.append(CheckedResult(one, run, message_id, "instrument", None, (result,)))
                    continue
                found = tuple(check_result(one, result, now)) if result.status == "completed" else ()
                checked.append(CheckedResult(one, run, message_id, "instrument", result, found))
            return complete_or_hold(session, self.tenant_id, FLOW, checked, now=now)

    def keep(self, session: Any, assignment_id: int, run_number: int, body: bytes, now: datetime) -> int:
        """The message's id, kept as the fetching keeps it."""
        digest = hashlib.sha256(body).digest()
        again = session.query(InstrumentMessage).filter_by(
            tenant_id=self.tenant_id, assignment_id=assignment_id, run_number=run_number, sha256=digest
        )
        for known in again:  # fetched again: the same row is to be checked again
            known.processed_at = None
            return int(known.id)
        message = InstrumentMessage(
            tenant_id=self.tenant_id,
            equipment_id=self.equipment_id,
            assignment_id=assignment_id,
            run_number=run_number,
            kind="result",
            body=body,
            sha256=digest,
            received_at=now,
        )
        session.add(message)
        session.flush()
        return message.id

    def assignment(self, assignment_id: int) -> Assignment:
        with tenant_session(self.tenant_id) as session:
            return session.get_one(Assignment, (self.tenant_id, assignment_id))

    def results(self, assignment_id: int) -> list[Result]:
        with tenant_session(self.tenant_id) as session:
            wanted = select(Result).where(Result.tenant_id == self.tenant_id, Result.assignment_id == assignment_id)
            return list(session.scalars(wanted.order_by(Result.version)))

    def held(self, assignment_id: int | None) -> list[HeldResult]:
        with tenant_session(self.tenant_id) as session:
            wanted = select(HeldResult).where(
                HeldResult.tenant_id == self.tenant_id, HeldResult.assignment_id.is_not_distinct_from(assignment_id)
            )
            return list(session.scalars(wanted.order_by(HeldResult.id)))

    def deliveries(self, assignment_id: int, prefix: str = "instrument:") -> list[Delivery]:
        with tenant_session(self.tenant_id) as session:
            wanted = select(Delivery).where(
                Delivery.tenant_id == self.tenant_id,
                Delivery.entity == f"assignment:{assignment_id}",
                Delivery.destination.startswith(prefix),
            )
            return list(session.scalars(wanted.order_by(Delivery.id)))

    def audited(self, assignment_id: int) -> list[str]:
        """The names of what was audited about an assignment, in order."""
        with tenant_session(self.tenant_id) as session:
            wanted = select(AuditEvent.action).where(
                AuditEvent.tenant_id == self.tenant_id,
                AuditEvent.resource_type == "assignment",
                AuditEvent.resource_id == str(assignment_id),
            )
            return list(session.scalars(wanted.order_by(AuditEvent.id)))


def make_lab(slug: str = "alpha") -> Lab:
    """A tenant with patient PAT-001 (female, 40 years), one instrument and the tests LAB-HGB, LAB-CBC, LAB-NOTE."""
    tenant_id = make_tenant(slug)
    with tenant_session(tenant_id) as session:
        born = (utc_now() - timedelta(days=40 * 365.25)).date()
        patient = Patient(
            tenant_id=tenant_id,
            code="PAT-001",
            family_name="Ade",
            given_names="Bola",
            sex="female",
            birth_date=born,
            email="bola@patients.example",
            is_report_mailed=True,
        )
        session.add(patient)
        session.flush()
        patient_id = patient.id
    lab = Lab(tenant_id, 0, patient_id)
    actor = lab.actor("admin")
    with tenant_session(tenant_id) as session:
        given = EquipmentInput(name="Analyzer", api_endpoint="http://127.0.0.1:9", supports_auto_fetch=True)
        lab.equipment_id = create_equipment(session, tenant_id, actor, given).id
        for test in TESTS:
            create_test(session, tenant_id, actor, test)
        panel = PanelInput(code="CBC", name="Complete blood count", tests=["LAB-HGB", "LAB-WBC"])
        save_panel(session, tenant_id, actor, panel)
    return lab


def ranged(**given: Any) -> RangeInput:
    return RangeInput.model_validate(given)


TESTS = (
    TestInput.model_validate(
        {
            "code": "LAB-HGB",
            "loinc": "718-7",
            "name": "Haemoglobin",
            "specimen_type": "Blood",
            "unit": "g/dL",
            "plausible_low": "1",
            "plausible_high": "30",
            "panic_low": "6",
            "panic_high": "20",
            "verification_levels": 2,
            "equipment": "Analyzer",
            "ranges": [
                {"sex": "female", "age_from_days": 6574, "low": "12.0", "high": "16.0"},
                {"sex": "male", "age_from_days": 6574, "low": "14.0", "high": "18.0"},
            ],
        }
    ),
    TestInput(code="LAB-CBC", name="CBC", specimen_type="Blood", unit="g/dL", equipment="Analyzer"),
    TestInput(code="LAB-WBC", name="Leucocytes", specimen_type="Blood", unit="10*3/uL", equipment="Analyzer"),
    TestInput(code="LAB-NOTE", name="Blood film", specimen_type="Blood", result_type="text"),
)
