"""The keys with which instruments push their results: made, seen without the key, and revoked, by a person alone."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.instruments.setup_answers import NewPushKeyAnswer, PushKeyAnswer
from models.instruments.inputs import PushKeyInput
from models.instruments.stores import push_keys
from models.kernel.fields import Id
from models.kernel.settings import settings
from models.people.roles import PERSON

router = APIRouter(prefix="/instruments/{equipment_id}/push-keys", tags=["instruments"])
Person = Annotated[Caller, Depends(may("administrator", scope=PERSON))]


def push_address(equipment_id: int) -> str:
    """Where this instrument posts its results."""
    return f"{settings().base_url}/api/v1/instruments/{equipment_id}/results"


@router.get("", responses=errors(401, 403, 404))
def list_push_keys(equipment_id: Id, caller: Person) -> list[PushKeyAnswer]:
    """The keys that are not revoked, the newest first; no key is ever shown again."""
    with tenant_work(caller) as session:
        rows = push_keys.list_push_keys(session, caller.tenant_id, equipment_id)
        return [PushKeyAnswer.model_validate(row) for row in rows]


@router.post("", status_code=201, responses=errors(401, 403, 404))
def create_push_key(equipment_id: Id, given: PushKeyInput, caller: Person) -> NewPushKeyAnswer:
    """A new key, in this answer and never again. The ones before stay valid for the overlap."""
    with tenant_work(caller) as session:
        row, key = push_keys.issue_push_key(session, caller.tenant_id, caller.actor, equipment_id, given)
        made = PushKeyAnswer.model_validate(row)
    return NewPushKeyAnswer(**made.model_dump(), key=key, push_url=push_address(equipment_id))


@router.delete("/{key_id}", status_code=204, responses=errors(401, 403, 404))
def revoke_push_key(equipment_id: Id, key_id: Id, caller: Person) -> None:
    """Refuse a key from now on."""
    with tenant_work(caller) as session:
        push_keys.revoke_push_key(session, caller.tenant_id, caller.actor, equipment_id, key_id)
