"""The door for instruments that push a finished result unasked."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.instruments.answers import PushedAnswer
from api.instruments.catalogue_routes import Body
from api.runs import start_checking
from models.instruments.schemas import InstrumentResult
from models.instruments.stores.equipment import get_equipment
from models.instruments.stores.pushes import Accepted, accept_pushed
from models.kernel.clock import utc_now
from models.kernel.errors import ForbiddenError
from models.kernel.fields import Id

router = APIRouter(tags=["instruments"])
Instrument = Annotated[Caller, Depends(may(scope="results:push"))]
RESULT = {
    "requestBody": {
        "required": True,
        "description": "The documented result; `id` is the instrument's own number of the queued test",
        "content": {"application/json": {"schema": InstrumentResult.model_json_schema(by_alias=True)}},
    }
}


@router.post(
    "/instruments/{equipment_id}/results", status_code=202, responses=errors(401, 403, 404, 409), openapi_extra=RESULT
)
async def push_result(equipment_id: Id, caller: Instrument, content: Body) -> PushedAnswer:
    """Keep a finished result, to pass the same checks as a fetched one. Only with the instrument's own token."""
    kept = await run_in_threadpool(_keep, caller, equipment_id, content)
    if kept.is_new:
        start_checking(caller)
    return PushedAnswer(message_id=kept.message_id)


def _keep(caller: Caller, equipment_id: int, content: bytes) -> Accepted:
    if caller.equipment_id != equipment_id:
        with tenant_work(caller) as session:
            get_equipment(session, caller.tenant_id, equipment_id)
        raise ForbiddenError("this token belongs to another instrument")
    with tenant_work(caller) as session:
        return accept_pushed(session, caller.tenant_id, caller.actor, equipment_id, content, now=utc_now())
