"""Mail against a real SMTP server: what it says decides what becomes of the message, and nothing can be smuggled in."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from deployments.simulators.mailbox import Mailbox
from deployments.simulators.mailbox_smtp import Login
from models.kernel.errors import ConfigError, RefusedError, RetryableError, UnavailableError, UnknownOutcomeError
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import Leased
from models.kernel.settings import Settings, settings
from models.kernel.tenancy import KnownTenant
from tasks.clients.mail.carrier import MailCarrier
from tasks.clients.mail.message import TEMPLATES, compose, read_payload

pytestmark = pytest.mark.contract

NORTH = KnownTenant(7, "north", "North <Laboratory>", "Africa/Lagos")
REPORT = Mail("report_ready", ["doe@example.org"], {"patient_name": "Jo Doe", "request_id": "REQ-1"})


def delivery(mail: Mail = REPORT, number: int = 12) -> Leased:
    event = mail_event(NORTH.id, "assignment.released", "assignment:1", mail)
    return Leased(NORTH.id, number, 1, "mail", event.entity, 0, event.type, event.payload)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as running:
        yield running


def config(mailbox: Mailbox, **others: Any) -> Settings:
    values: dict[str, Any] = {
        "smtp_host": mailbox.host,
        "smtp_port": mailbox.smtp_port,
        "mail_from": "Lab <lab@example.org>",
    }
    return Settings(**{**values, "smtp_timeout_seconds": 2, **others})


async def send(config: Settings, *deliveries: Leased) -> list[str]:
    carrier = MailCarrier(config)
    try:
        return [await carrier.send(one, NORTH) for one in deliveries]
    finally:
        await carrier.close()


async def test_a_mail_arrives_as_its_template_says(mailbox: Mailbox) -> None:
    assert await send(config(mailbox), delivery()) == ["250 2.0.0 taken"]
    [message] = mailbox.messages
    assert message.message_id == "<labwire-7-12@example.org>"
    assert message.sender == "Lab <lab@example.org>"
    assert message.recipients == ["doe@example.org"]
    assert message.subject == "Your laboratory report REQ-1 is ready"
    assert message.message["Auto-Submitted"] == "auto-generated"
    assert "Dear Jo Doe," in (message.text or "")
    assert "North <Laboratory>" in (message.text or "")
    assert "North &lt;Laboratory&gt;" in (message.html or "")


async def test_one_connection_serves_several_messages(mailbox: Mailbox) -> None:
    await send(config(mailbox), *[delivery(number=n) for n in range(3)])
    assert [message.message_id for message in mailbox.messages] == [f"<labwire-7-{n}@example.org>" for n in range(3)]


async def test_values_are_escaped_in_html_and_cannot_begin_a_header(mailbox: Mailbox) -> None:
    evil = {"patient_name": "<script>x</script>", "request_id": "REQ-1\r\nBcc: eve@example.org\r\n\r\nhello"}
    await send(config(mailbox), delivery(Mail("report_ready", ["doe@example.org"], evil)))
    [message] = mailbox.messages
    assert message.recipients == ["doe@example.org"]
    assert message.message["Bcc"] is None
    assert message.subject == "Your laboratory report REQ-1 Bcc: eve@example.org hello is ready"
    assert "<script>" not in (message.html or "")


async def test_lines_that_begin_with_a_dot_arrive(mailbox: Mailbox) -> None:
    body = "first\n.\n..second\nQUIT"
    await send(
        config(mailbox), delivery(Mail("report_ready", ["doe@example.org"], {"patient_name": body, "request_id": "1"}))
    )
    assert body in (mailbox.messages[0].text or "").replace("\r\n", "\n")


@pytest.mark.parametrize(
    "address", ["doe@example.org\r\nRCPT TO:<eve@example.org>", "doe@example.org, eve@example.org", "nobody", "a b@c.d"]
)
async def test_what_is_not_an_address_is_refused_before_sending(mailbox: Mailbox, address: str) -> None:
    with pytest.raises(RefusedError, match="payload is not acceptable: to") as refused:
        await send(config(mailbox), delivery(Mail("report_ready", [address], REPORT.context)))
    assert "doe" not in str(refused.value)
    assert mailbox.attempts == 0


@pytest.mark.parametrize(
    ("mail", "complaint"),
    [
        (Mail("report_ready", ["doe@example.org"], {"request_id": "REQ-1"}), "report_ready/body.txt cannot be filled"),
        (Mail("no_such", ["doe@example.org"], {}), "template is not there"),
        (Mail("../carrier", ["doe@example.org"], {}), "payload is not acceptable: template"),
    ],
)
async def test_a_template_must_be_there_and_filled(mailbox: Mailbox, mail: Mail, complaint: str) -> None:
    with pytest.raises(RefusedError, match=complaint):
        await send(config(mailbox), delivery(mail))
    assert mailbox.attempts == 0


async def test_a_one_time_link_lies_encrypted_in_the_outbox_and_readable_in_the_mail(mailbox: Mailbox) -> None:
    link = "https://lab.example.org/reset/lw_reset_0123456789"
    mail = Mail("password_reset", ["doe@example.org"], {"name": "Jo", "minutes": 30}, {"link": link})
    one = delivery(mail)
    assert "lw_reset" not in str(one.payload)
    await send(config(mailbox), one)
    assert link in (mailbox.messages[0].text or "")


@pytest.mark.parametrize("fault", ["refuse_recipient", "refuse_message"])
async def test_4xx_may_be_tried_again_and_5xx_never(mailbox: Mailbox, fault: str) -> None:
    mailbox.faults.set(fault, 451, times=1)  # type: ignore[arg-type]
    with pytest.raises(RetryableError, match=r"^451 .*not taken this time") as refused:
        await send(config(mailbox), delivery())
    assert not isinstance(refused.value, UnavailableError)
    mailbox.faults.set(fault, 550, times=1)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match=r"^550 .*refused"):
        await send(config(mailbox), delivery())
    assert mailbox.messages == []


async def test_nobody_gets_a_mail_that_one_recipient_was_refused(mailbox: Mailbox) -> None:
    mailbox.faults.set("refuse_recipient", 550, recipient="two@example.org")
    two = Mail("report_ready", ["one@example.org", "two@example.org"], REPORT.context)
    carrier = MailCarrier(config(mailbox))
    with pytest.raises(RefusedError, match="recipient 2 of 2"):
        await carrier.send(delivery(two), NORTH)
    await carrier.send(delivery(), NORTH)  # the same connection goes on
    await carrier.close()
    assert [message.recipients for message in mailbox.messages] == [["doe@example.org"]]


@pytest.mark.parametrize("fault", ["drop_unstored", "drop_stored"])
async def test_a_connection_lost_after_the_message_is_an_unknown_outcome(mailbox: Mailbox, fault: str) -> None:
    mailbox.faults.set(fault, times=1)  # type: ignore[arg-type]
    with pytest.raises(UnknownOutcomeError):
        await send(config(mailbox), delivery())


async def test_a_server_that_is_silent_after_the_message_is_an_unknown_outcome(mailbox: Mailbox) -> None:
    mailbox.faults.set("delay", 3, times=1)
    with pytest.raises(UnknownOutcomeError):
        await send(config(mailbox, smtp_timeout_seconds=0.3), delivery())


async def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(UnavailableError, match="cannot be reached: ConnectionRefusedError"):
            await send(Settings(smtp_host="127.0.0.1", smtp_port=port), delivery())


async def test_a_server_that_never_greets_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = silent.getsockname()
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await send(Settings(smtp_host=address[0], smtp_port=address[1], smtp_timeout_seconds=0.3), delivery())


async def test_a_kept_connection_the_server_closed_is_replaced(mailbox: Mailbox) -> None:
    carrier = MailCarrier(config(mailbox))
    await carrier.send(delivery(number=1), NORTH)
    for session in mailbox._connections:
        transport = session.transport
        assert isinstance(transport, asyncio.WriteTransport)
        mailbox._thread.loop.call_soon_threadsafe(transport.abort)
    await asyncio.sleep(0.1)
    await carrier.send(delivery(number=2), NORTH)
    await carrier.close()
    assert len(mailbox.messages) == 2


class TestLoginAndEncryption:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        issued = authority.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(tmp_path / "chain.pem", append=number > 0)
        return tmp_path

    @pytest.fixture
    def secured(self, authority: Path) -> Iterator[Mailbox]:
        certificate = (authority / "chain.pem", authority / "key.pem")
        with Mailbox(certificate=certificate, login=Login("labwire", "right")) as running:
            yield running

    async def test_starttls_and_login(self, secured: Mailbox, authority: Path) -> None:
        login: dict[str, Any] = {"smtp_user": "labwire", "smtp_password": "right", "smtp_starttls": True}
        assert await send(config(secured, **login, outside_ca_file=authority / "ca.pem"), delivery())
        assert len(secured.messages) == 1

    async def test_a_wrong_password_is_the_installations_fault(self, secured: Mailbox, authority: Path) -> None:
        login: dict[str, Any] = {"smtp_user": "labwire", "smtp_password": "wrong", "smtp_starttls": True}
        with pytest.raises(ConfigError, match=r"^535 .*LABWIRE_SMTP_USER") as error:
            await send(config(secured, **login, outside_ca_file=authority / "ca.pem"), delivery())
        assert "wrong" not in str(error.value)

    async def test_an_unknown_certificate_is_not_believed(self, secured: Mailbox) -> None:
        with pytest.raises(ConfigError, match="certificate is not trusted"):
            await send(config(secured, smtp_starttls=True), delivery())

    async def test_a_missing_login_is_the_installations_fault(self, secured: Mailbox, authority: Path) -> None:
        with pytest.raises(ConfigError, match="530"):
            await send(config(secured, smtp_starttls=True, outside_ca_file=authority / "ca.pem"), delivery())

    async def test_starttls_that_is_not_offered_is_not_done_without(self, mailbox: Mailbox) -> None:
        with pytest.raises(ConfigError, match="does not offer"):
            await send(config(mailbox, smtp_starttls=True), delivery())
        assert mailbox.attempts == 0

    def test_a_password_does_not_travel_readable(self) -> None:
        remote = Settings(smtp_host="mail.example.org", smtp_user="u", smtp_password="p4ssw0rd")
        with pytest.raises(ConfigError, match="LABWIRE_SMTP_STARTTLS"):
            MailCarrier(remote)

    def test_without_a_server_the_setting_is_named(self) -> None:
        with pytest.raises(ConfigError, match="LABWIRE_SMTP_HOST is not set"):
            MailCarrier(Settings(smtp_host=""))


SAMPLES = {
    "alert_contact": {"name": "Night desk", "role": "nurse"},
    "alert_question": {"name": "Jo", "minutes": 5, "link": "http://x"},
    "alert_raised": {
        "role": "emergency",
        "level": "critical",
        "kind": "Heart rate high",
        "alert": 7,
        "asks_for_help": True,
        "link": "http://x",
        "patient": "Jo Doe (P1)",
    },
    "uploads_waiting": {
        "count": 3,
        "hours": "24",
        "days": "7",
        "link": "http://x",
        "uploads": [{"number": 12, "received_kb": 100, "size_kb": 512}],
    },
    "devices_silent": {"count": 1, "link": "http://x", "devices": [{"device_id": "DEV001", "minutes": 45}]},
    "devices_doubtful": {
        "day": "2026-11-20",
        "count": 2,
        "link": "http://x",
        "devices": [{"device_id": "DEV001", "findings": ["battery at 9 % (over 20)"]}],
    },
    "report_ready": {"patient_name": "Jo", "request_id": "REQ-1"},
    "password_reset": {"name": "Jo", "minutes": 30, "link": "http://x"},
    "user_invited": {"name": "Jo", "minutes": 30, "link": "http://x"},
    "runs_failed": {
        "count": 1,
        "deployments": [{"name": "d", "failed": 1, "crashed": 0, "first_at": "1", "last_at": "2", "page": "http://x"}],
    },
    "deliveries_dead": {
        "count": 1,
        "link": "http://x",
        "deliveries": [{"number": 1, "state": "dead", "what": "w", "destination": "mail", "about": "a:1"}],
    },
}


@pytest.mark.parametrize("folder", sorted(path.name for path in TEMPLATES.iterdir() if path.is_dir()))
def test_every_template_is_whole(folder: str) -> None:
    row = {"request_id": "REQ-1", "test": "TSH", "status": "queued", "hours": 30}
    several = {"department": "Chemistry", "count": 1, "link": "http://x", "assignments": [row]}
    mail = read_payload({"template": folder, "to": ["a@b.org"], "context": SAMPLES.get(folder, several)})
    common = {"laboratory": "North", "base_url": settings().base_url}
    message = compose(mail, sender="lab@example.org", message_id="<1@example.org>", common=common)
    assert message["Subject"].strip()
    body, html = message.get_body(("plain",)), message.get_body(("html",))
    assert body is not None
    assert html is not None
    assert "North" in body.get_content()
    assert "</html>" in html.get_content()
