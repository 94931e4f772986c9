"""Tasks of check-instruments."""

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy.orm import Session

from models.instruments.stores.checks import Check, checkable_equipment, record_checks
from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, LabwireError, RefusedError
from models.kernel.tenancy import known_tenants, tenant_session
from tasks.group_writer import GroupWriter
from tasks.instruments.connections import Connections
from tasks.instruments.lanes import Place
from tasks.instruments.report import Identity, Line, Report, identity
from tasks.runs import batch_task

NAME = "check-instruments"


@dataclass(frozen=True, slots=True)
class Checkable:
    """The instruments to be checked."""

    places: tuple[Place, ...]


@batch_task
async def find_instruments(tenant: str, *, instrument_id: int | None = None) -> Checkable:
    """Every instrument with an endpoint that is not inactive."""
    return await asyncio.to_thread(find, tenant, instrument_id)


@batch_task
async def ask_for_status(instruments: Checkable) -> Report:
    """Ask all of them at the same time; each answer is kept within half a second, whoever else is silent."""
    return await check_all(instruments, identity(NAME))


def find(tenant: str, instrument_id: int | None) -> Checkable:
    """The instruments of one tenant (slug), or of all for an empty one."""
    places: list[Place] = []
    for one in known_tenants(tenant):
        with tenant_session(one.id) as session:
            places += [(one.id, equipment_id) for equipment_id in checkable_equipment(session, one.id, instrument_id)]
    return Checkable(tuple(places))


async def check_all(instruments: Checkable, who: Identity) -> Report:
    """The same without a run of Prefect's."""

    def record(session: Session, tenant_id: int, checks: list[Check]) -> list[None]:
        record_checks(session, tenant_id, who.actor, checks)
        return [None] * len(checks)

    report = Report()
    async with Connections(instruments.places, width=1) as connections, GroupWriter[Check](record) as writer:

        async def check_one(place: Place) -> None:
            check = await _check(connections, place)
            await writer.put(place[0], check)
            line = Line(*place, None, check.status if check.is_online else f"not online: {check.status}")
            (report.went_well if check.is_online else report.needs_a_look)(line)

        async with asyncio.TaskGroup() as group:
            for place in instruments.places:
                group.create_task(check_one(place))
    return report


async def _check(connections: Connections, place: Place) -> Check:
    if place in connections.problems:
        return Check(place[1], utc_now(), "not callable")
    began = time.perf_counter()
    try:
        found = await connections.client(place).status()
    except LabwireError as error:
        return Check(place[1], utc_now(), _word(error))
    taken = round((time.perf_counter() - began) * 1000)
    return Check(place[1], utc_now(), found.status, found.queue_length, found.last_calibration_at, taken)


def _word(error: LabwireError) -> str:
    if isinstance(error, ConfigError):
        return "key refused"
    return "request refused" if isinstance(error, RefusedError) else "unreachable"
