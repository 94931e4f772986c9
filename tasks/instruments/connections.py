"""The instruments a run talks to: one client each, its keys decrypted once."""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from models.instruments.stores.connections import Connection, load_connections
from models.kernel.errors import ConfigError
from models.kernel.tenancy import tenant_session
from tasks.clients.instrument import Address, HttpInstrument
from tasks.instruments.lanes import Place

CONNECTIONS = 8


class Connections:
    """Clients by place, closed at the end of the `async with`; `problems` says which could not be made and why."""

    def __init__(self, places: Iterable[Place], *, width: int = CONNECTIONS) -> None:
        self._places, self._width = list(places), width
        self._clients: dict[Place, HttpInstrument] = {}
        self._known: dict[Place, Connection] = {}
        self.problems: dict[Place, str] = {}

    @property
    def places(self) -> list[Place]:
        """The places that can be called."""
        return list(self._clients)

    def client(self, place: Place) -> HttpInstrument:
        """The client of one of `places`."""
        return self._clients[place]

    def known(self, place: Place) -> Connection:
        """What the hub knows about one of `places`."""
        return self._known[place]

    async def __aenter__(self) -> Self:
        self._known = await asyncio.to_thread(_load, self._places)
        for place in self._places:
            known = self._known.get(place)
            if known is None:
                self.problems[place] = f"instrument {place[1]}: it has no endpoint"
            elif known.problem:
                self.problems[place] = f"instrument {place[1]}: {known.problem}"
            else:
                self._open(place, known)
        return self

    def _open(self, place: Place, known: Connection) -> None:
        what = f"instrument {place[1]}"
        address = Address(what, known.endpoint, known.auth_header, known.keys, known.timeout_seconds)
        try:
            self._clients[place] = HttpInstrument(address, connections=self._width)
        except ConfigError as error:
            self.problems[place] = str(error)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(client.aclose() for client in self._clients.values()))


def _load(places: list[Place]) -> dict[Place, Connection]:
    by_tenant: dict[int, list[int]] = {}
    for tenant_id, equipment_id in places:
        by_tenant.setdefault(tenant_id, []).append(equipment_id)
    found: dict[Place, Connection] = {}
    for tenant_id, equipment_ids in by_tenant.items():
        with tenant_session(tenant_id) as session:
            for equipment_id, known in load_connections(session, tenant_id, equipment_ids).items():
                found[tenant_id, equipment_id] = known
    return found
