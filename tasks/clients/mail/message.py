"""A mail from its template: a folder of subject.txt, body.txt and body.html below templates/."""

import re
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound, select_autoescape
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, RefusedError
from models.kernel.fields import Email

TEMPLATES = Path(__file__).parent / "templates"
ONLY_ASCII = SMTP.clone(cte_type="7bit")


class MailPayload(BaseModel):
    """What an event carries that is to be mailed."""

    model_config = ConfigDict(extra="forbid")

    template: str = Field(pattern="^[a-z][a-z0-9_]*$")
    to: list[Email] = Field(min_length=1, max_length=50)
    context: dict[str, Any] = {}
    sealed: str = ""


def read_payload(payload: Mapping[str, Any]) -> MailPayload:
    """The payload checked; RefusedError names the fields at fault."""
    try:
        return MailPayload.model_validate(payload)
    except ValidationError as error:
        fields = sorted({str(problem["loc"][0]) for problem in error.errors()})
        raise RefusedError(f"the mail's payload is not acceptable: {', '.join(fields)}") from None


def compose(mail: MailPayload, *, sender: str, message_id: str, common: Mapping[str, Any]) -> EmailMessage:
    """The message. RefusedError when the template is not there or something it names is missing."""
    values = {**common, **mail.context}
    subject, body, html = (
        _render(f"{mail.template}/{part}", values) for part in ("subject.txt", "body.txt", "body.html")
    )
    message = EmailMessage(policy=ONLY_ASCII)
    message["From"] = sender_address(sender)
    message["To"] = [Address(addr_spec=address) for address in mail.to]
    message["Subject"] = " ".join(subject.split())  # a line end in a value must not begin a header
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    message.add_alternative(html, subtype="html")
    return message


def sender_address(sender: str) -> Address:
    """LABWIRE_MAIL_FROM, an address with or without a name, as a header takes it."""
    name, address = parseaddr(sender)
    user, at, domain = address.partition("@")
    if not (user and at and domain) or re.search(r"[\s\x00-\x1f\x7f]", address) or not address.isascii():
        raise ConfigError("LABWIRE_MAIL_FROM is not an e-mail address")
    return Address(name, user, domain)


def _render(name: str, values: Mapping[str, Any]) -> str:
    try:
        return _environment().get_template(name).render(values)
    except TemplateNotFound:
        raise RefusedError("the mail's template is not there") from None
    except TemplateError as error:
        raise RefusedError(f"the mail template {name} cannot be filled: {type(error).__name__}") from None


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(  # escaped in HTML; plain text must not be
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
