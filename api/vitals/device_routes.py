"""Devices, whose they are, their keys, and what they asked of us."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.vitals.desk_answers import (
    ActivityAnswer,
    ActivityPage,
    DeviceKeyAnswer,
    NewDeviceKeyAnswer,
    WearerAnswer,
)
from models.kernel.fields import Id, Line
from models.kernel.settings import settings
from models.people.roles import BEDSIDE, PERSON
from models.people.stores.reads import note_read
from models.vitals.cursors import place
from models.vitals.schemas import DeviceEdit, DeviceIn, DeviceKeyIn, DeviceSummary, WearerIn
from models.vitals.stores import devices, keys
from models.vitals.stores.lists import list_activity

router = APIRouter(prefix="/devices", tags=["devices"])
Reader = Annotated[Caller, Depends(may(*BEDSIDE, "administrator", scope="vitals:read"))]
Bedside = Annotated[Caller, Depends(may(*BEDSIDE, scope="vitals:read"))]
Giver = Annotated[Caller, Depends(may(*BEDSIDE, scope="vitals:write"))]
Keeper = Annotated[Caller, Depends(may("supervisor", "administrator", scope="vitals:write"))]
KeyKeeper = Annotated[Caller, Depends(may("supervisor", "administrator", scope=PERSON))]


@router.get("", responses=errors(401, 403))
def list_devices(caller: Reader) -> list[DeviceSummary]:
    """Devices by name with last contact, battery and the state of their keys; the patient for who may see patients."""
    with tenant_work(caller) as session:
        return [for_caller(one, caller) for one in devices.list_devices(session, caller.tenant_id)]


@router.post("", status_code=201, responses=errors(401, 403, 409))
def create_device(given: DeviceIn, caller: Keeper) -> DeviceSummary:
    """A new device; 409 when another names itself so."""
    with tenant_work(caller) as session:
        made = devices.create_device(session, caller.tenant_id, caller.actor, given)
        return _summary(session, caller, made.id)


@router.get("/{device_id}", responses=errors(401, 403, 404))
def get_device(device_id: Id, caller: Reader) -> DeviceSummary:
    """One device."""
    with tenant_work(caller) as session:
        devices.get_device(session, caller.tenant_id, device_id)
        return _summary(session, caller, device_id)


@router.put("/{device_id}", responses=errors(401, 403, 404, 409))
def update_device(device_id: Id, given: DeviceEdit, caller: Keeper) -> DeviceSummary:
    """Every field as it shall be; 409 when somebody changed it since `version` was read."""
    with tenant_work(caller) as session:
        devices.edit_device(session, caller.tenant_id, caller.actor, device_id, given)
        return _summary(session, caller, device_id)


@router.post("/{device_id}/assign", responses=errors(401, 403, 404, 409))
def assign_device(device_id: Id, given: WearerIn, caller: Giver) -> list[WearerAnswer]:
    """Whose it is from a moment on, null for nobody's; the history that results, the latest first."""
    with tenant_work(caller) as session:
        devices.assign_patient(session, caller.tenant_id, caller.actor, device_id, given)
        return _history(session, caller, device_id)


@router.get("/{device_id}/history", responses=errors(401, 403, 404))
def list_device_wearers(device_id: Id, caller: Bedside) -> list[WearerAnswer]:
    """Whose it was and is, the latest first."""
    with tenant_work(caller) as session:
        devices.get_device(session, caller.tenant_id, device_id)
        return _history(session, caller, device_id)


@router.get("/{device_id}/keys", responses=errors(401, 403, 404))
def list_device_keys(device_id: Id, caller: KeyKeeper) -> list[DeviceKeyAnswer]:
    """The device's keys, ended and revoked ones included, the newest first; no key is ever shown again."""
    with tenant_work(caller) as session:
        rows = keys.list_keys(session, caller.tenant_id, device_id)
        return [DeviceKeyAnswer.model_validate(row) for row in rows]


@router.post("/{device_id}/keys", status_code=201, responses=errors(401, 403, 404))
def create_device_key(device_id: Id, given: DeviceKeyIn, caller: KeyKeeper) -> NewDeviceKeyAnswer:
    """A new key, in this answer and never again. With `overlap_hours` the ones before it end after them."""
    with tenant_work(caller) as session:
        row, key = keys.issue_key(session, caller.tenant_id, caller.actor, device_id, given)
        made = DeviceKeyAnswer.model_validate(row)
    return NewDeviceKeyAnswer(**made.model_dump(), key=key, url=readings_address())


@router.delete("/{device_id}/keys/{key_id}", status_code=204, responses=errors(401, 403, 404))
def revoke_device_key(device_id: Id, key_id: Id, caller: KeyKeeper) -> None:
    """Refuse a key from now on."""
    with tenant_work(caller) as session:
        keys.revoke_key(session, caller.tenant_id, caller.actor, device_id, key_id)


@router.get("/{device_id}/activity", responses=errors(401, 403, 404))
def list_device_activity(
    device_id: Id,
    caller: Reader,
    cursor: Annotated[Line, Query(description="`next_cursor` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ActivityPage:
    """What the device asked and was answered, the newest first. It holds no readings."""
    with tenant_work(caller) as session:
        devices.get_device(session, caller.tenant_id, device_id)
        rows, following = list_activity(session, caller.tenant_id, device_id, after=place(cursor), limit=limit)
        items = [ActivityAnswer.of(row) for row in rows]
    return ActivityPage(items=items, next_cursor=following.told() if following else None)


def readings_address() -> str:
    """Where devices post."""
    return f"{settings().base_url}/api/iot/vitals/"


def for_caller(one: DeviceSummary, caller: Caller) -> DeviceSummary:
    """Without the patient for an administrator, who sees no patients."""
    if caller.has(*BEDSIDE):
        return one
    return one.model_copy(update={"patient_id": None, "patient_code": None})


def _summary(session: Session, caller: Caller, device_id: int) -> DeviceSummary:
    (one,) = devices.list_devices(session, caller.tenant_id, device_id=device_id)
    return for_caller(one, caller)


def _history(session: Session, caller: Caller, device_id: int) -> list[WearerAnswer]:
    rows = devices.history(session, caller.tenant_id, device_id)
    note_read(session, caller.tenant_id, caller.actor, [patient_id for _, _, patient_id, _ in rows])
    return [
        WearerAnswer(patient_id=patient_id, patient_code=code, assigned_from=since, assigned_until=until)
        for since, until, patient_id, code in rows
    ]
