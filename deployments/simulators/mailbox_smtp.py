"""The mailbox's SMTP door, and what can go wrong at it."""

import asyncio
import hmac
import threading
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from deployments.simulators.mailbox_store import MailFolder

MailFaultName = Literal["refuse_recipient", "refuse_message", "drop_unstored", "drop_stored", "delay"]
# name: (what it does, the value used when none is given)
MAIL_FAULTS: dict[str, tuple[str, float]] = {
    "refuse_recipient": ("answer RCPT with this status, for example 450 (try again) or 550 (never)", 450),
    "refuse_message": ("answer DATA with this status, store nothing", 451),
    "drop_unstored": ("take the message's lines, store nothing, cut the connection before any answer", 1),
    "drop_stored": ("store the message, then cut the connection before the 250", 1),
    "delay": ("wait so many s after storing, before the 250", 1),
}


@dataclass(slots=True)
class MailFault:
    """One fault that is on, for the next `times` messages and one recipient where given."""

    name: str
    value: float
    times: int | None = None
    recipient: str | None = None


@dataclass
class MailFaults:
    """The switchboard; safe to use from any thread."""

    _on: dict[tuple[str, str | None], MailFault] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(
        self,
        name: MailFaultName,
        value: float | None = None,
        *,
        times: int | None = None,
        recipient: str | None = None,
    ) -> None:
        """Turn a fault on; ValueError for an unknown one, a status outside 400-599 or a negative number."""
        if name not in MAIL_FAULTS:
            raise ValueError(f"no such fault: {name}; there are {', '.join(MAIL_FAULTS)}")
        chosen = MAIL_FAULTS[name][1] if value is None else value
        if name.startswith("refuse") and chosen not in range(400, 600):
            raise ValueError(f"{name} takes a status from 400 to 599")
        if chosen < 0 or (times is not None and times < 1):
            raise ValueError("values are not negative, times at least 1")
        with self._lock:
            self._on[name, recipient] = MailFault(name, chosen, times, recipient)

    def clear(self, name: MailFaultName | None = None) -> None:
        """Turn one fault off, or all of them."""
        with self._lock:
            self._on = {key: fault for key, fault in self._on.items() if name is not None and fault.name != name}

    def take(self, name: MailFaultName, recipients: list[str]) -> MailFault | None:
        """The fault of that name if it applies to one of these recipients, using up one of its times."""
        with self._lock:
            for key, fault in self._on.items():
                if fault.name == name and (fault.recipient is None or fault.recipient in recipients):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times == 0:
                            del self._on[key]
                    return fault
        return None

    def as_list(self) -> list[dict[str, Any]]:
        """Every fault that is on, as data."""
        with self._lock:
            return [asdict(fault) for fault in self._on.values()]


class MailHandler:
    """aiosmtpd's hooks: a 250 is given only for a message that is on disk."""

    def __init__(self, folder: MailFolder) -> None:
        self.folder = folder
        self.faults = MailFaults()
        self.attempts = 0  # DATA commands completed by a client, whatever came of them

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the recipient or refuse it."""
        if fault := self.faults.take("refuse_recipient", [address]):
            status = int(fault.value)
            kind = "4.2.1 mailbox busy, try again later" if status < 500 else "5.1.1 no such mailbox"
            return f"{status} {kind}"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 recipient taken"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store the message, then answer."""
        self.attempts += 1
        if fault := self.faults.take("refuse_message", envelope.rcpt_tos):
            return f"{int(fault.value)} message refused"
        if self.faults.take("drop_unstored", envelope.rcpt_tos):
            return _cut(server)
        await asyncio.to_thread(
            self.folder.store,
            envelope.original_content or b"",
            mail_from=envelope.mail_from or "",
            recipients=envelope.rcpt_tos,
        )
        if self.faults.take("drop_stored", envelope.rcpt_tos):
            return _cut(server)
        if fault := self.faults.take("delay", envelope.rcpt_tos):
            await asyncio.sleep(fault.value)
        return "250 2.0.0 stored"


def _cut(server: SMTP) -> str:
    """Cut the connection; the answer returned to aiosmtpd reaches nobody."""
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()
    return "421 gone"


@dataclass(frozen=True)
class Login:
    """The one account that may send, where the mailbox asks for one."""

    user: str
    password: str = field(repr=False)

    def __call__(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Check a LOGIN or PLAIN attempt, as aiosmtpd asks."""
        if not isinstance(data, LoginPassword):
            return AuthResult(success=False, handled=False)
        right = hmac.compare_digest(data.login, self.user.encode()) & hmac.compare_digest(
            data.password, self.password.encode()
        )
        return AuthResult(success=right, handled=False)
