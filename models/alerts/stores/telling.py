"""Mails about alerts: the patient's question, and the notice to whoever a step of the ladder names."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.alerts.rules import BY_KIND
from models.alerts.tables import Alert
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import Event
from models.kernel.settings import settings

QUESTION, NOTICE, TRIAL = "alert_question", "alert_raised", "alert_contact"


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody a step tells."""

    role: str
    name: str
    address: str


PEOPLE = text("""
SELECT p.id, p.code, p.given_names, p.family_name, p.email, p.birth_date
FROM patient p WHERE p.tenant_id = :tenant_id AND p.id = ANY(:ids)
""")
CONTACTS = text("SELECT role, name, address FROM alert_contact WHERE tenant_id = :tenant_id ORDER BY role, id")
DOCTORS = text("""
SELECT 'doctor' AS role, name, email AS address FROM app_user
WHERE tenant_id = :tenant_id AND is_active AND 'doctor' = ANY(roles) ORDER BY id
""")


def people(session: Session, tenant_id: int, patient_ids: Iterable[int]) -> Mapping[int, Any]:
    """The patients by id, with name and address."""
    rows = session.execute(PEOPLE, {"tenant_id": tenant_id, "ids": sorted(set(patient_ids))})
    return {row.id: row for row in rows}


def contacts(session: Session, tenant_id: int) -> Mapping[str, Sequence[Told]]:
    """Whom to tell, by role. A tenant without a doctor among its contacts means all its users who are doctors."""
    found: dict[str, list[Told]] = defaultdict(list)
    for row in session.execute(CONTACTS, {"tenant_id": tenant_id}):
        found[row.role].append(Told(*row))
    if not found["doctor"]:
        found["doctor"] = [Told(*row) for row in session.execute(DOCTORS, {"tenant_id": tenant_id})]
    return found


def question_mail(tenant_id: int, person: Any, *, question_id: int, link: str, minutes: int) -> Event:
    """The mail that asks the patient. It says nothing about the alert: others may read a mailbox."""
    mail = Mail(QUESTION, [person.email], {"minutes": minutes}, secrets={"link": link, "name": person.given_names})
    return mail_event(tenant_id, "alert.asked", f"alert_question:{question_id}", mail, is_ordered=False)


def notice_mail(tenant_id: int, alert: Alert, person: Any, told: Told, *, asks_for_help: bool) -> Event:
    """The mail of one step to one person. Only emergency, who cannot sign in, reads whom it is about."""
    is_outside = told.role == "emergency"
    context = {
        "role": told.role,
        "level": alert.level,
        "kind": BY_KIND[alert.kind].label if alert.kind in BY_KIND else alert.kind,
        "alert": alert.id,
        "asks_for_help": asks_for_help,
        "link": f"{settings().base_url}/alerts/{alert.id}",
    }
    who = f"{person.given_names} {person.family_name} ({person.code})" if is_outside else ""
    mail = Mail(NOTICE, [told.address], context, secrets={"patient": who})
    # Unordered: one address that is refused must not hold back the next person's notice.
    return mail_event(tenant_id, "alert.told", f"alert:{alert.id}", mail, is_ordered=False)


def trial_mail(tenant_id: int, contact_id: int, told: Told) -> Event:
    """The mail that only tries whether a contact's address works."""
    mail = Mail(TRIAL, [told.address], {"name": told.name, "role": told.role})
    return mail_event(tenant_id, "alert_contact.tried", f"alert_contact:{contact_id}", mail, is_ordered=False)
