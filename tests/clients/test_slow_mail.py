"""A mail server that says its replies a byte at a time keeps no message for longer than its lease lasts."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from models.kernel.errors import RetryableError, UnknownOutcomeError
from models.kernel.outbox import LEASE_SECONDS
from tasks.clients.mail import smtp
from tasks.clients.mail.smtp import SmtpClient, SmtpServer

pytestmark = pytest.mark.contract


@contextmanager
def dripping(step: str) -> Iterator[int]:
    """A server that answers at once, but for `step` (greeting, mail or end), where a byte takes 3 s; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def say(client: socket.socket, text: bytes, *, at: str) -> None:
        for byte in text:
            client.sendall(bytes([byte]))
            time.sleep(3 if at == step else 0)

    def serve() -> None:
        client, _ = listening.accept()
        with client, client.makefile("rb") as lines:
            try:
                say(client, b"220 here\r\n", at="greeting")
                for line in lines:
                    if line.upper().startswith(b"DATA"):
                        say(client, b"354 go on\r\n", at="data")
                        while lines.readline() not in (b".\r\n", b""):
                            pass
                        say(client, b"250 2.0.0 taken\r\n", at="end")
                    else:
                        say(client, b"250 2.1.0 fine\r\n", at="mail" if line.upper().startswith(b"MAIL") else "")
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.close()


@pytest.mark.parametrize(
    ("step", "outcome"), [("greeting", RetryableError), ("mail", RetryableError), ("end", UnknownOutcomeError)]
)
def test_a_dripping_server_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch, step: str, outcome: type[Exception]
) -> None:
    monkeypatch.setattr(smtp, "LONGEST_SECONDS", 1.0)
    with dripping(step) as port:
        client = SmtpClient(SmtpServer("127.0.0.1", port, timeout_seconds=10))
        with pytest.raises(outcome):  # waited for, the reply would be a good one; each byte takes far less than 10 s
            client.send(b"Subject: x\r\n\r\nx\r\n", sender="a@lab.example", recipients=["b@lab.example"])


def test_a_message_may_take_less_time_than_its_lease() -> None:
    assert smtp.LONGEST_SECONDS + 10 < LEASE_SECONDS
