"""Mail as a destination of the outbox."""

import asyncio
from email.utils import parseaddr

from models.kernel.mail import open_secrets
from models.kernel.outbox import Leased
from models.kernel.settings import Settings
from models.kernel.tenancy import KnownTenant
from tasks.clients.mail.message import compose, read_payload, sender_address
from tasks.clients.mail.smtp import SmtpClient, SmtpServer


class MailCarrier:
    """Sends `mail` deliveries; every attempt of one delivery has the same Message-ID."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._client = SmtpClient(SmtpServer.from_settings(config))
        self._sender = sender_address(config.mail_from)

    async def send(self, delivery: Leased, tenant: KnownTenant) -> str:
        """Compose and hand over; see Carrier for what is raised."""
        mail = read_payload(delivery.payload)
        secrets = open_secrets(tenant.id, mail.sealed) if mail.sealed else {}
        message = compose(
            mail,
            sender=self._config.mail_from,
            message_id=f"<labwire-{delivery.tenant_id}-{delivery.id}@{self._sender.domain}>",
            common={"laboratory": tenant.name, "base_url": self._config.base_url, **secrets},
        )
        envelope_sender = parseaddr(self._config.mail_from)[1]
        return await asyncio.to_thread(
            self._client.send, message.as_bytes(), sender=envelope_sender, recipients=mail.to
        )

    async def close(self) -> None:
        """Take leave of the mail server."""
        await asyncio.to_thread(self._client.close)
