"""Mail in the outbox, and what became of it."""

from collections import Counter

import pytest
from sqlalchemy import select, text, update

from deployments.simulators.mailbox import Mailbox
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import publish_many
from models.kernel.settings import settings
from models.kernel.tables import Delivery
from models.kernel.tenancy import tenant_session


def publish_mail(tenant_id: int, count: int, *, entity: str = "") -> None:
    """So many mails; of one entity where it is given, else each of its own."""
    events = [
        mail_event(
            tenant_id,
            "assignment.released",
            entity or f"assignment:{number}",
            Mail(
                "report_ready", [f"patient{number}@example.org"], {"patient_name": "Jo", "request_id": f"REQ-{number}"}
            ),
        )
        for number in range(count)
    ]
    with tenant_session(tenant_id) as session:
        publish_many(session, tenant_id, events)


def deliveries(tenant_id: int) -> list[Delivery]:
    with tenant_session(tenant_id) as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def states(tenant_id: int) -> Counter[str]:
    return Counter(delivery.state for delivery in deliveries(tenant_id))


def let_time_pass(tenant_id: int) -> None:
    """Leases have expired and pauses are over."""
    with tenant_session(tenant_id) as session:
        session.execute(update(Delivery).values(next_attempt_at=text("now() - interval '1 s'")))
        expired = update(Delivery).where(Delivery.state == "leased")
        session.execute(expired.values(leased_until=text("now() - interval '1 s'")))


def use_mailbox(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, **others: str) -> None:
    """Point the settings of this process, and of those it starts, at the mailbox."""
    values = {"LABWIRE_SMTP_HOST": mailbox.host, "LABWIRE_SMTP_PORT": str(mailbox.smtp_port)}
    for name, value in {**values, "LABWIRE_MAIL_FROM": "lab@example.org", **others}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()


def message_ids(mailbox: Mailbox) -> Counter[str]:
    return Counter(message.message_id for message in mailbox.messages)
