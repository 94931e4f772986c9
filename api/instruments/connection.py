"""The button "test connection": ask an instrument for its status, and say in words what stands in the way."""

import asyncio

from api.deps import Caller, tenant_work
from api.instruments.setup_answers import ConnectionAnswer
from models.instruments.ports import InstrumentStatus
from models.instruments.stores.connections import Connection, load_connections
from models.instruments.stores.equipment import get_equipment
from models.kernel.audit import Action, record
from models.kernel.errors import ConflictError, LabwireError
from tasks.clients.instrument import Address, HttpInstrument

LONGEST_SECONDS = 10
"""Somebody waits for the answer, whatever time the instrument has in a flow."""


def ask_status(caller: Caller, equipment_id: int) -> ConnectionAnswer:
    """The instrument's own word on itself, or why it did not answer; ConflictError without an endpoint."""
    with tenant_work(caller) as session:
        get_equipment(session, caller.tenant_id, equipment_id)
        connection = load_connections(session, caller.tenant_id, [equipment_id]).get(equipment_id)
    if connection is None:
        raise ConflictError("the instrument has no endpoint")
    answer = _asked(connection)
    with tenant_work(caller) as session:
        noted = {"is_online": answer.is_online, "status": answer.status, "problem": answer.problem}
        action = Action("equipment.test_connection", "equipment", equipment_id, noted)
        record(session, caller.tenant_id, caller.actor, action)
    return answer


def _asked(connection: Connection) -> ConnectionAnswer:
    if connection.problem:
        return ConnectionAnswer(is_online=False, problem=connection.problem)
    try:
        found = asyncio.run(_status(connection))
    except LabwireError as error:
        return ConnectionAnswer(is_online=False, problem=str(error))
    return ConnectionAnswer(
        is_online=found.status.lower() == "online",
        status=found.status,
        queue_length=found.queue_length,
        last_calibration_at=found.last_calibration_at,
    )


async def _status(connection: Connection) -> InstrumentStatus:
    address = Address(
        what=f"instrument {connection.equipment_id}",
        endpoint=connection.endpoint,
        auth_header=connection.auth_header,
        keys=connection.keys,
        timeout_seconds=min(connection.timeout_seconds, LONGEST_SECONDS),
    )
    async with HttpInstrument(address, connections=1) as instrument:
        return await instrument.status()
