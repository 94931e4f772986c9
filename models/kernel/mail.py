"""What an event carries when it is to be mailed: the contract between those who publish it and the mail carrier."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.kernel.outbox import Event, Route
from models.kernel.secrets import decrypt, encrypt

DESTINATION = "mail"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to be. `context` fills the template; `secrets`, such as a one-time link, are stored encrypted."""

    template: str
    to: Sequence[str]
    context: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def mail_event(tenant_id: int, type_: str, entity: str, mail: Mail, *, is_ordered: bool = True) -> Event:
    """The event to publish; one mail per event, sent in order for one entity unless `is_ordered` says otherwise."""
    payload: dict[str, Any] = {"template": mail.template, "to": list(mail.to), "context": dict(mail.context)}
    if mail.secrets:
        sealed = encrypt(json.dumps(dict(mail.secrets)), context=_context(tenant_id))
        payload["sealed"] = b64encode(sealed).decode()
    return Event(type_, entity, payload, [Route(DESTINATION, is_ordered=is_ordered)])


def open_secrets(tenant_id: int, sealed: str) -> dict[str, str]:
    """The secrets of a payload's `sealed`; ConfigError under another key or tenant."""
    opened: dict[str, str] = json.loads(decrypt(b64decode(sealed), context=_context(tenant_id)))
    return opened


def _context(tenant_id: int) -> str:
    return f"outbox_event:{tenant_id}:mail"
