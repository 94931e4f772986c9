"""What the kernel needs from the adapters to outside systems."""

from typing import Protocol

from models.kernel.outbox import Leased
from models.kernel.tenancy import KnownTenant


class Carrier(Protocol):
    """Takes deliveries to one kind of destination. One is opened per run and used by several sends at once."""

    async def send(self, delivery: Leased, tenant: KnownTenant) -> str:
        """Send once and return the answer in a few words, without values.

        Raises RefusedError when it will never be taken, RetryableError when it was not taken this time,
        UnavailableError when nothing can be sent there now, UnknownOutcomeError when it may have been taken,
        ConfigError when a setting has to be changed first.
        """
        ...

    async def close(self) -> None:
        """Give up connections; nothing is sent afterwards."""
        ...
