"""Devices: how all of them stand; one of them with its patient, its keys and what it asked."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, text, texts
from api.render import redirect
from api.vitals import words
from api.vitals.device_routes import for_caller, readings_address
from api.vitals.pages_kit import REFUSALS, Bedside, Keeper, Looker, Refusal, complaints, show
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError
from models.kernel.fields import Id, Line
from models.people.roles import BEDSIDE
from models.people.stores.patients import find_by_code
from models.people.stores.reads import note_read
from models.vitals.cursors import place
from models.vitals.schemas import DeviceKeyIn, WearerIn
from models.vitals.stores import devices, keys
from models.vitals.stores.lists import list_activity

Which = Literal["all", "silent", "battery", "key"]
router = APIRouter(prefix="/devices")


@router.get("")
def device_list(request: Request, caller: Looker, which: Annotated[Which, Query(alias="show")] = "all") -> Response:
    """Every device with last contact, battery, key and patient; or those somebody should look after."""
    with tenant_work(caller) as session:
        rows = [for_caller(one, caller) for one in devices.list_devices(session, caller.tenant_id)]
    chosen = {
        "all": rows,
        "silent": [one for one in rows if words.is_silent(one)],
        "battery": [one for one in rows if words.is_battery_low(one)],
        "key": [one for one in rows if one.is_active and one.key_state != "valid"],
    }
    context = {"rows": chosen[which], "which": which, "counts": {name: len(found) for name, found in chosen.items()}}
    return show(request, "devices.html", caller, context=context)


@router.get("/{device_id}")
def device(request: Request, device_id: Id, caller: Looker, cursor: Annotated[Line, Query()] = "") -> Response:
    """One device."""
    return device_page(request, caller, device_id, cursor=cursor)


@router.post("/{device_id}/assign")
def assign(request: Request, device_id: Id, caller: Bedside, form: Form) -> Response:
    """Give it to a patient, or take it back."""
    try:
        with tenant_work(caller) as session:
            device_row = devices.get_device(session, caller.tenant_id, device_id)
            code, patient_id = text(form, "patient"), None
            if text(form, "deed") != "take":
                patient = find_by_code(session, caller.tenant_id, code) if code else None
                if patient is None:
                    raise InvalidError("no patient has this code" if code else "is needed", field="patient")
                patient_id = patient.id
            since = _local(text(form, "since"), caller.time_zone)
            given = WearerIn(patient_id=patient_id, since=since)
            devices.assign_patient(session, caller.tenant_id, caller.actor, device_row.id, given)
    except REFUSALS as error:
        return device_page(request, caller, device_id, refused=error, typed=texts(form))
    return redirect(request, f"/devices/{device_id}", flash="Noted whose device it is.")


@router.post("/{device_id}/keys")
def new_key(request: Request, device_id: Id, caller: Keeper, form: Form) -> Response:
    """A new key, shown on this page and never again."""
    try:
        boxes = {name: name in form for name in ("can_write_vitals", "can_read_patient")}
        given = fill(DeviceKeyIn, form, **boxes)
        with tenant_work(caller) as session:
            _, key = keys.issue_key(session, caller.tenant_id, caller.actor, device_id, given)
    except REFUSALS as error:
        return device_page(request, caller, device_id, refused=error, typed=texts(form))
    return device_page(request, caller, device_id, new_key=key)


@router.post("/{device_id}/keys/{key_id}/revoke")
def revoke_key(request: Request, device_id: Id, key_id: Id, caller: Keeper) -> Response:
    """Refuse a key from now on."""
    with tenant_work(caller) as session:
        keys.revoke_key(session, caller.tenant_id, caller.actor, device_id, key_id)
    return redirect(request, f"/devices/{device_id}#keys", flash="The key is refused from now on.")


def device_page(  # noqa: PLR0913 - what the page shows once, and what a refused form had
    request: Request,
    caller: Caller,
    device_id: int,
    *,
    cursor: str = "",
    new_key: str = "",
    refused: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    """The page of one device."""
    status, errors = complaints(refused)
    is_bedside = caller.has(*BEDSIDE)
    with tenant_work(caller) as session:
        devices.get_device(session, caller.tenant_id, device_id)
        (row,) = devices.list_devices(session, caller.tenant_id, device_id=device_id)
        history = devices.history(session, caller.tenant_id, device_id) if is_bedside else []
        note_read(session, caller.tenant_id, caller.actor, [patient_id for _, _, patient_id, _ in history])
        is_keeper = caller.has("supervisor", "administrator")
        shown = keys.list_keys(session, caller.tenant_id, device_id) if is_keeper else []
        asked, following = list_activity(session, caller.tenant_id, device_id, after=place(cursor), limit=20)
    context = {
        "row": for_caller(row, caller),
        "history": history,
        "is_bedside": is_bedside,
        "is_keeper": is_keeper,
        "keys": shown,
        "new_key": new_key,
        "address": readings_address(),
        "asked": asked,
        "is_older": bool(cursor),
        "following": following.told() if following else "",
        "errors": errors,
        "typed": dict(typed or {}),
        "now": utc_now(),
    }
    return show(request, "device.html", caller, status=status, context=context)


def _local(typed: str, time_zone: str) -> datetime | None:
    """What a field for date and time holds, in the laboratory's zone."""
    if not typed:
        return None
    try:
        return datetime.fromisoformat(typed).replace(tzinfo=ZoneInfo(time_zone))
    except (ValueError, KeyError):
        raise InvalidError("is not a date and time", field="since") from None
