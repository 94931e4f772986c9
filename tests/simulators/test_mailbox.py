"""The mailbox keeps every message it says it has taken, and shows it safely."""

import os
import smtplib
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest

from deployments.simulators.mailbox import Mailbox
from deployments.simulators.mailbox_smtp import Login

pytestmark = pytest.mark.contract


def letter(number: int = 1, *, html: str | None = None) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "Laboratory <lab@example.org>", "chief@example.org"
    message["Subject"] = f"Stale assignments, Hämatologie {number}"
    message["Message-ID"] = f"<{number}@labwire.example.org>"
    message.set_content("Three assignments <b>wait</b>.\nSee http://127.0.0.1:8000/worklist?state=P.\n.\n..done")
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


@contextmanager
def smtp(mailbox: Mailbox) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(mailbox.host, mailbox.smtp_port, timeout=5) as connection:
        yield connection


def test_a_message_is_on_disk_before_the_250(mailbox: Mailbox, tmp_path: Path) -> None:
    with smtp(mailbox) as connection:
        connection.send_message(letter(), to_addrs=["chief@example.org", "hidden@example.org"])
        [path] = (tmp_path / "mail").glob("*")
    [stored] = mailbox.messages
    assert stored.path == path
    assert stored.message_id == "<1@labwire.example.org>"
    assert stored.recipients == ["chief@example.org", "hidden@example.org"]
    assert stored.subject == "Stale assignments, Hämatologie 1"
    assert (stored.text or "").splitlines() == letter().get_content().splitlines()
    assert stored.html is None
    assert stored.path.read_bytes().endswith(letter().as_bytes().replace(b"\n", b"\r\n"))


def test_file_and_folder_are_forced_to_disk_before_the_250(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[str] = []
    really = os.fsync

    def watched(handle: int) -> None:
        forced.append(os.readlink(f"/proc/self/fd/{handle}").removeprefix(str(tmp_path)))
        really(handle)

    monkeypatch.setattr(os, "fsync", watched)
    with smtp(mailbox) as connection:
        connection.send_message(letter())
        assert forced == [f"/mail/{mailbox.messages[0].id}.part", "/mail"]


def test_messages_survive_a_restart(tmp_path: Path) -> None:
    for number in (1, 2):
        with Mailbox(tmp_path) as mailbox, smtp(mailbox) as connection:
            connection.send_message(letter(number))
    with Mailbox(tmp_path) as mailbox:
        assert [message.message_id[1] for message in mailbox.messages] == ["1", "2"]
        listed = httpx.get(f"{mailbox.url}/messages.json").json()
    assert [entry["message_id"][1] for entry in listed] == ["2", "1"]
    assert set(listed[0]) == {"id", "message_id", "from", "to", "subject", "received_at"}


@pytest.mark.parametrize("status", [450, 550])
def test_refused_recipients(mailbox: Mailbox, status: int) -> None:
    mailbox.faults.set("refuse_recipient", status, times=1, recipient="chief@example.org")
    with smtp(mailbox) as connection:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            connection.send_message(letter())
        assert refused.value.recipients["chief@example.org"][0] == status
        assert mailbox.messages == []
        connection.send_message(letter())
    assert len(mailbox.messages) == 1


def test_a_refused_message(mailbox: Mailbox) -> None:
    mailbox.faults.set("refuse_message", 451, times=1)
    with smtp(mailbox) as connection, pytest.raises(smtplib.SMTPDataError, match="451"):
        connection.send_message(letter())
    assert mailbox.messages == []


@pytest.mark.parametrize("stored", [True, False])
def test_the_connection_drops_before_the_250(mailbox: Mailbox, stored: bool) -> None:
    mailbox.faults.set("drop_stored" if stored else "drop_unstored", times=1)
    connection = smtplib.SMTP(mailbox.host, mailbox.smtp_port, timeout=5)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
        connection.send_message(letter())
    connection.close()
    assert (mailbox.attempts, len(mailbox.messages)) == (1, int(stored))
    with smtp(mailbox) as again:
        again.send_message(letter())
    assert {message.message_id for message in mailbox.messages} == {"<1@labwire.example.org>"}
    assert (mailbox.attempts, len(mailbox.messages)) == (2, 1 + int(stored))


def test_a_late_answer(mailbox: Mailbox) -> None:
    mailbox.faults.set("delay", 0.3, times=1)
    began = time.perf_counter()
    with smtp(mailbox) as connection:
        connection.send_message(letter())
    assert time.perf_counter() - began >= 0.3


def test_starttls_and_login_are_demanded(tmp_path: Path, certificate: tuple[Path, Path], trust: ssl.SSLContext) -> None:
    with Mailbox(tmp_path, certificate=certificate, login=Login("labwire", "right")) as mailbox:
        with smtp(mailbox) as connection, pytest.raises(smtplib.SMTPSenderRefused, match="STARTTLS"):
            connection.send_message(letter())
        with smtp(mailbox) as connection:
            connection.starttls(context=trust)
            with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
                connection.send_message(letter())
            with pytest.raises(smtplib.SMTPAuthenticationError):
                connection.login("labwire", "wrong")
            connection.login("labwire", "right")
            connection.send_message(letter())
        assert len(mailbox.messages) == 1
        with smtp(mailbox) as connection, pytest.raises(ssl.SSLCertVerificationError):
            connection.starttls(context=ssl.create_default_context())


def test_pages_show_mail_without_running_it(mailbox: Mailbox) -> None:
    nasty = '<p>Hello</p><script>alert(1)</script><img src="http://example.org/x.png">'
    message = letter(html=nasty)
    message.replace_header("Subject", "<script>alert(2)</script>")
    with smtp(mailbox) as connection:
        connection.send_message(letter(2))
        connection.send_message(message)
    listing = httpx.get(mailbox.url).text
    assert listing.index("&lt;script&gt;alert(2)") < listing.index("Hämatologie 2")
    newest = mailbox.messages[-1]
    page = httpx.get(f"{mailbox.url}/messages/{newest.id}")
    assert "<script" not in listing + page.text
    assert "Three assignments &lt;b&gt;wait" in page.text
    assert '<a href="http://127.0.0.1:8000/worklist?state=P" rel="noreferrer noopener">' in page.text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    frame = httpx.get(f"{mailbox.url}/messages/{newest.id}/html")
    assert "<p>Hello</p>" in frame.text
    policy = frame.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    assert "script-src" not in policy + page.headers["content-security-policy"]
    assert httpx.get(f"{mailbox.url}/messages/none").status_code == 404
    assert httpx.get(mailbox.url, headers={"Host": "example.org"}).status_code == 400
    raw = httpx.get(f"{mailbox.url}/messages/{newest.id}/raw")
    assert raw.headers["content-disposition"].startswith("attachment")
    assert b"Message-ID: <1@labwire" in raw.content


def test_fault_switches_over_http(mailbox: Mailbox) -> None:
    switches = f"{mailbox.url}/control/faults"
    assert httpx.post(switches, json={"name": "refuse_message", "value": 552}).json()["on"][0]["value"] == 552
    with smtp(mailbox) as connection, pytest.raises(smtplib.SMTPDataError, match="552"):
        connection.send_message(letter())
    assert httpx.delete(switches).json()["on"] == []
    assert httpx.post(switches, json={"name": "refuse_message", "value": 250}).status_code == 422
    assert httpx.post(switches, json={"name": "other"}).status_code == 422
    with Mailbox() as without_control:
        assert httpx.get(f"{without_control.url}/control/faults").status_code == 404
