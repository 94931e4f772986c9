"""Adding and changing devices."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, texts
from api.instruments.meanwhile_view import meanwhile_view
from api.render import redirect
from api.vitals.pages_kit import REFUSALS, Keeper, Refusal, complaints, show
from models.instruments.stores.meanwhile import changed_since
from models.kernel.errors import ConflictError
from models.kernel.fields import Id
from models.vitals.schemas import DEVICE_TYPES, DeviceEdit, DeviceIn
from models.vitals.stores import devices
from models.vitals.tables import Device

router = APIRouter(prefix="/devices")


@router.get("/new")
def show_new(request: Request, caller: Keeper) -> Response:
    """The form for a new device."""
    return _form(request, caller, None, {"time_zone": caller.time_zone, "is_active": "true"})


@router.post("/new")
def create(request: Request, caller: Keeper, form: Form) -> Response:
    """Add it, and open it."""
    try:
        given = fill(DeviceIn, form, is_active="is_active" in form)
        with tenant_work(caller) as session:
            made = devices.create_device(session, caller.tenant_id, caller.actor, given).id
    except REFUSALS as error:
        return _form(request, caller, None, texts(form), error)
    return redirect(request, f"/devices/{made}", flash="Added. Make a key for it, and say whose it is.")


@router.get("/{device_id}/edit")
def show_edit(request: Request, device_id: Id, caller: Keeper) -> Response:
    """The form with the device as it is."""
    with tenant_work(caller) as session:
        row = devices.get_device(session, caller.tenant_id, device_id)
    return _form(request, caller, device_id, _values(row))


@router.post("/{device_id}/edit")
def edit(request: Request, device_id: Id, caller: Keeper, form: Form) -> Response:
    """Change it, unless somebody else did since the form was opened."""
    try:
        given = fill(DeviceEdit, form, is_active="is_active" in form)
        with tenant_work(caller) as session:
            devices.edit_device(session, caller.tenant_id, caller.actor, device_id, given)
    except REFUSALS as error:
        return _form(request, caller, device_id, texts(form), error)
    return redirect(request, f"/devices/{device_id}", flash="Changed.")


def _form(
    request: Request,
    caller: Caller,
    device_id: int | None,
    values: Mapping[str, Any],
    refused: Refusal | None = None,
) -> Response:
    status, errors = complaints(refused)
    meanwhile = None
    if device_id is not None and refused is not None:
        with tenant_work(caller) as session:
            row = devices.get_device(session, caller.tenant_id, device_id)
            if isinstance(refused, ConflictError) and refused.field is None:  # changed by somebody else meanwhile
                typed = {**values, "code": values.get("device_id"), "is_active": values.get("is_active") == "true"}
                found = changed_since(session, caller.tenant_id, "device", device_id, int(values["version"]))
                meanwhile = meanwhile_view(found, typed)
                merged = _shown(dict(meanwhile.merged)) if meanwhile else {}
                values = {**values, **merged, "version": row.version}
    context = {
        "device_id": device_id,
        "values": dict(values),
        "errors": errors,
        "meanwhile": meanwhile,
        "types": [(one, one) for one in dict.fromkeys((*DEVICE_TYPES, values.get("device_type") or "Other"))],
    }
    return show(request, "device_form.html", caller, status=status, context=context)


def _values(row: Device) -> dict[str, Any]:
    return _shown({name: getattr(row, name) for name in (*devices.EDITED, "version")})


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    """Values as the fields of the form hold them."""
    if "code" in values:
        values["device_id"] = values.pop("code")
    return {
        name: "true" if value is True else "" if value in (False, None) else value for name, value in values.items()
    }
