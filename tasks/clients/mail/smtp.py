"""The SMTP client: every step says for certain whether the message was taken, or that nobody knows."""

import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.kernel.errors import ConfigError, RefusedError, RetryableError, UnavailableError, UnknownOutcomeError
from models.kernel.settings import Settings

SMTPS_PORT = 465
LONGEST_SECONDS = 90.0
"""One message may not take longer in all, whatever each step may take: it must end before its lease of 120 s does."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}")  # RFC 3463


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over, and how."""

    host: str
    port: int
    timeout_seconds: float = 10
    has_starttls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    own_name: str = "localhost"

    @classmethod
    def from_settings(cls, config: Settings) -> "SmtpServer":
        """As the settings say; ConfigError when there is no server, or a password would travel readable."""
        server = cls(
            host=config.required("smtp_host"),
            port=config.smtp_port,
            timeout_seconds=config.smtp_timeout_seconds,
            has_starttls=config.smtp_starttls,
            user=config.smtp_user,
            password=config.required("smtp_password") if config.smtp_user else "",
            ca_file=config.outside_ca_file,
            own_name=config.mail_from.rpartition("@")[2].rstrip("> ") or "localhost",
        )
        if server.user and not (server.is_encrypted or server.host in LOOPBACK):
            raise ConfigError("LABWIRE_SMTP_USER needs LABWIRE_SMTP_STARTTLS: the password would travel readable")
        return server

    @property
    def is_encrypted(self) -> bool:
        """Whether nothing but the greeting travels readable."""
        return self.has_starttls or self.port == SMTPS_PORT


class _Bounded:
    """Ends the connection when a reply has not come at `ends_at`, even where a byte comes every few seconds."""

    def __init__(self, *arguments: Any, ends_at: float, **named: Any) -> None:
        self.ends_at = ends_at
        self._is_cut = False
        super().__init__(*arguments, **named)

    def getreply(self) -> tuple[int, bytes]:
        """The reply; SMTPServerDisconnected when it came too late."""
        timer = threading.Timer(max(0.0, self.ends_at - time.monotonic()), self._cut)
        timer.daemon = True
        timer.start()
        try:
            reply: tuple[int, bytes] = super().getreply()  # type: ignore[misc]  # of the class it stands before
        finally:
            timer.cancel()
        if self._is_cut:  # what there is of the reply says nothing
            raise smtplib.SMTPServerDisconnected("the reply did not come in time")
        return reply

    def _cut(self) -> None:
        self._is_cut = True
        connection = getattr(self, "sock", None)
        if connection is not None:
            with suppress(OSError):  # it may have ended by itself
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Smtp(_Bounded, smtplib.SMTP):
    pass


class _SmtpOverTls(_Bounded, smtplib.SMTP_SSL):
    pass


Connection = _Smtp | _SmtpOverTls


class SmtpClient:
    """Sends messages over connections it keeps open; may be used from several threads at once."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def send(self, message: bytes, *, sender: str, recipients: Sequence[str]) -> str:
        """Hand the message over to all recipients or to none; the server's code in words.

        Raises RefusedError (5xx), RetryableError (4xx), UnavailableError, ConfigError, and UnknownOutcomeError when
        the connection ended between the message and its answer.
        """
        ends_at = time.monotonic() + LONGEST_SECONDS
        client = self._idle_connection(ends_at) or self._connect(ends_at)
        try:
            self._envelope(client, sender, recipients)
            return self._hand_over(client, message)
        except (UnavailableError, UnknownOutcomeError, ConfigError):
            client.close()
            raise
        except (RefusedError, RetryableError):
            with suppress(OSError, smtplib.SMTPException):
                client.rset()
            raise
        finally:
            if client.sock is not None:
                with self._lock:
                    self._idle.append(client)

    def close(self) -> None:
        """Take leave of the server."""
        with self._lock:
            idle, self._idle = self._idle, []
        for client in idle:
            client.ends_at = time.monotonic() + self._server.timeout_seconds
            with suppress(OSError, smtplib.SMTPException):
                client.quit()

    def _idle_connection(self, ends_at: float) -> Connection | None:
        """A kept connection that the server has not closed meanwhile."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                client = self._idle.pop()
                client.ends_at = ends_at
            with suppress(OSError, smtplib.SMTPException):
                if client.noop()[0] == 250:
                    return client
            client.close()

    def _envelope(self, client: smtplib.SMTP, sender: str, recipients: Sequence[str]) -> None:
        try:
            _expect(client.mail(sender), "sender")
            for number, recipient in enumerate(recipients, 1):
                _expect(client.rcpt(recipient), f"recipient {number} of {len(recipients)}")
        except (OSError, smtplib.SMTPServerDisconnected):
            raise RetryableError("the mail server ended the connection before the message") from None

    def _hand_over(self, client: smtplib.SMTP, message: bytes) -> str:
        try:
            _expect(client.docmd("DATA"), "message", wanted=354)
        except (OSError, smtplib.SMTPServerDisconnected):
            raise RetryableError("the mail server ended the connection before the message") from None
        try:
            client.send(_with_dots_doubled(message) + b".\r\n")
            reply = client.getreply()
        except (OSError, smtplib.SMTPServerDisconnected):
            raise UnknownOutcomeError("no answer after the message was sent") from None
        if reply[0] < 0:
            raise UnknownOutcomeError("no readable answer after the message was sent")
        return f"{_expect(reply, 'message')} taken"

    def _connect(self, ends_at: float) -> Connection:
        server = self._server
        client: Connection | None = None
        try:
            client = self._open(ends_at)
            client.ehlo_or_helo_if_needed()
            if server.has_starttls and server.port != SMTPS_PORT:
                client.starttls(context=self._tls())
                client.ehlo_or_helo_if_needed()  # what was said before does not count any more
            if server.user:
                client.login(server.user, server.password)
        except smtplib.SMTPAuthenticationError as error:
            _close(client)
            if error.smtp_code < 500:
                raise UnavailableError(f"{error.smtp_code} the mail server takes no login now") from None
            raise ConfigError(f"{error.smtp_code} the mail server refuses LABWIRE_SMTP_USER and its password") from None
        except smtplib.SMTPNotSupportedError:
            _close(client)
            raise ConfigError("the mail server does not offer what LABWIRE_SMTP_STARTTLS or _USER needs") from None
        except ssl.SSLCertVerificationError:
            _close(client)
            raise ConfigError("the mail server's certificate is not trusted; see LABWIRE_OUTSIDE_CA_FILE") from None
        except (OSError, smtplib.SMTPException) as error:
            _close(client)
            raise UnavailableError(f"the mail server cannot be reached: {type(error).__name__}") from None
        return client

    def _open(self, ends_at: float) -> Connection:
        server = self._server
        if server.port == SMTPS_PORT:
            return _SmtpOverTls(
                server.host,
                server.port,
                local_hostname=server.own_name,
                timeout=server.timeout_seconds,
                context=self._tls(),
                ends_at=ends_at,
            )
        return _Smtp(
            server.host,
            server.port,
            local_hostname=server.own_name,
            timeout=server.timeout_seconds,
            ends_at=ends_at,
        )

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._server.ca_file is not None:
            try:
                context.load_verify_locations(self._server.ca_file)
            except OSError:
                raise ConfigError("LABWIRE_OUTSIDE_CA_FILE cannot be read as certificates") from None
        return context


def _close(client: smtplib.SMTP | None) -> None:
    if client is not None:
        client.close()


def _expect(reply: tuple[int, bytes], what: str, *, wanted: int = 250) -> str:
    """The reply's codes when it is what was wanted; its words are left out, for servers quote addresses in them."""
    code, words = reply
    enhanced = _ENHANCED.match(words)
    codes = f"{code} {enhanced[0].decode()}" if enhanced else str(code)
    if code == wanted or (wanted == 250 and code == 251):
        return codes
    if code == 421 or code < 0:
        raise UnavailableError(f"{codes} the mail server takes nothing now")
    if code == 530:
        raise ConfigError(f"{codes} the mail server wants a login; see LABWIRE_SMTP_USER")
    if 400 <= code < 500:
        raise RetryableError(f"{codes} {what} not taken this time")
    raise RefusedError(f"{codes} {what} refused")


def _with_dots_doubled(message: bytes) -> bytes:
    """The message as DATA wants it (RFC 5321, 4.5.2), with its last line ended."""
    doubled = re.sub(rb"(?m)^\.", b"..", message)
    return doubled if doubled.endswith(b"\r\n") else doubled + b"\r\n"
