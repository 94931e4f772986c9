"""The mailbox's folder: one .eml file for each message taken."""

import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path

STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class StoredMessage:
    """One message as it was taken; its X-Envelope headers are the mailbox's own, from the SMTP dialogue."""

    path: Path
    received_at: datetime

    @property
    def id(self) -> str:
        """The file's name without its ending: sortable by time of arrival."""
        return self.path.stem

    @cached_property
    def message(self) -> EmailMessage:
        """The parsed message."""
        return message_from_bytes(self.path.read_bytes(), policy=policy.default)

    @property
    def message_id(self) -> str:
        """The sender's Message-ID, '' without one."""
        return str(self.message["Message-ID"] or "").strip()

    @property
    def recipients(self) -> list[str]:
        """To whom the envelope was addressed, hidden copies included."""
        return [str(value) for value in self.message.get_all("X-Envelope-To", [])]

    @property
    def sender(self) -> str:
        """The From header."""
        return str(self.message["From"] or "")

    @property
    def subject(self) -> str:
        """The Subject header."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str | None:
        """The plain text part; none without one."""
        return self._part("plain")

    @property
    def html(self) -> str | None:
        """The HTML part; none without one."""
        return self._part("html")

    @property
    def attachments(self) -> list[str]:
        """The attachments' file names."""
        return [part.get_filename() or part.get_content_type() for part in self.message.iter_attachments()]

    def as_dict(self) -> dict[str, object]:
        """What the JSON list shows."""
        return {
            "id": self.id,
            "message_id": self.message_id,
            "from": self.sender,
            "to": self.recipients,
            "subject": self.subject,
            "received_at": self.received_at.isoformat(),
        }

    def _part(self, kind: str) -> str | None:
        part = self.message.get_body(preferencelist=(kind,))
        return None if part is None else str(part.get_content())


@dataclass
class MailFolder:
    """The messages on disk; what was stored before a restart is there again."""

    folder: Path
    _messages: dict[str, StoredMessage] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(self.folder.glob("*.eml")):
            self._add(path)

    def store(self, content: bytes, *, mail_from: str, recipients: Sequence[str]) -> StoredMessage:
        """Write the message under its envelope and force it to disk, file and folder; OSError means not stored."""
        stamp = datetime.now(UTC).strftime(STAMP)
        path = self.folder / f"{stamp}-{os.getpid()}-{next(self._numbers)}.eml"
        envelope = [f"X-Envelope-From: {mail_from}", *(f"X-Envelope-To: {recipient}" for recipient in recipients)]
        beside = path.with_suffix(".part")
        with beside.open("wb") as out:
            out.write("".join(f"{line}\r\n" for line in envelope).encode())
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        beside.rename(path)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return self._add(path)

    def messages(self) -> list[StoredMessage]:
        """Every message, oldest first."""
        with self._lock:
            return sorted(self._messages.values(), key=lambda message: (message.received_at, message.id))

    def get(self, message_id: str) -> StoredMessage | None:
        """The message of that id; none when there is none."""
        with self._lock:
            return self._messages.get(message_id)

    def _add(self, path: Path) -> StoredMessage:
        stamp = path.stem.partition("-")[0]
        message = StoredMessage(path, datetime.strptime(stamp, STAMP).replace(tzinfo=UTC))
        with self._lock:
            self._messages[message.id] = message
        return message
