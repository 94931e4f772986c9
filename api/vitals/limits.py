"""How many readings a device and a tenant may send in a minute: counted in the database, enforced from memory.

The database counts for all processes in the transaction of each group and says how many there were. So a limit holds
right after a restart, and is passed by at most one group of each process.
"""

from dataclasses import dataclass
from datetime import datetime

from models.vitals.stores.admission import Rates


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of the running minute, for the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-07)."""

    limit: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """As the answer carries them."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(self.remaining, 0)),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class Limits:
    """What this process has heard of the running minute."""

    def __init__(self) -> None:
        self._heard: dict[int, Rates] = {}

    def hear(self, tenant_id: int, rates: Rates) -> None:
        """Keep what the database counted; called by the writer's thread."""
        before = self._heard.get(tenant_id)
        if before is not None and before.minute == rates.minute:
            rates = Rates(rates.minute, before.counts | rates.counts, before.limits | rates.limits)
        self._heard[tenant_id] = rates

    def forget(self) -> None:
        """As after a restart."""
        self._heard.clear()

    def exceeded(self, tenant_id: int, device_id: int, now: datetime) -> Allowance | None:
        """The limit that is used up, the device's or the tenant's; None when there is room."""
        for whose in (device_id, 0):
            allowance = self.allowance(tenant_id, whose, now)
            if allowance is not None and allowance.remaining <= 0:
                return allowance
        return None

    def allowance(self, tenant_id: int, whose: int, now: datetime) -> Allowance | None:
        """What is left for a device (0: the tenant); None while nothing was heard this minute."""
        rates = self._heard.get(tenant_id)
        if rates is None or rates.minute != now.replace(second=0, microsecond=0) or whose not in rates.counts:
            return None
        limit = rates.limits[whose]
        return Allowance(limit, limit - rates.counts[whose], 60 - now.second)
