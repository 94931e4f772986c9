"""Adding and changing instruments, and changing their keys over."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, texts
from api.instruments.meanwhile_view import meanwhile_view
from api.instruments.pages_instruments import instrument_page
from api.instruments.pages_kit import REFUSALS, Administrator, Keeper, Refusal, complaints, is_stale, show
from api.render import redirect
from models.instruments.inputs import EquipmentChange, EquipmentInput, KeyInput
from models.instruments.stores.choices import load_choices
from models.instruments.stores.equipment import add_key, create_equipment, end_key, get_equipment, update_equipment
from models.instruments.stores.meanwhile import changed_since
from models.instruments.tables import Equipment
from models.kernel.fields import Id

BOXES = ("is_idempotent", "supports_auto_fetch")
router = APIRouter(prefix="/instruments")


@router.get("/new")
def show_new(request: Request, caller: Administrator) -> Response:
    """The form for a new instrument."""
    return _form(request, caller, None, {"auth_header": "X-API-Key", "status": "active"})


@router.post("/new")
def create(request: Request, caller: Administrator, form: Form) -> Response:
    """Add it, and open it."""
    try:
        given = fill(EquipmentInput, form, **{name: name in form for name in BOXES})
        with tenant_work(caller) as session:
            made = create_equipment(session, caller.tenant_id, caller.actor, given).id
    except REFUSALS as error:
        return _form(request, caller, None, texts(form), error)
    return redirect(request, f"/instruments/{made}", flash="Added. Give it a key, then test the connection.")


@router.get("/{equipment_id}/edit")
def show_edit(request: Request, equipment_id: Id, caller: Keeper) -> Response:
    """The form with the instrument as it is."""
    with tenant_work(caller) as session:
        row = get_equipment(session, caller.tenant_id, equipment_id)
    return _form(request, caller, equipment_id, _values(row))


@router.post("/{equipment_id}/edit")
def edit(request: Request, equipment_id: Id, caller: Keeper, form: Form) -> Response:
    """Change it, unless somebody else did since the form was opened."""
    try:
        given = fill(EquipmentChange, form, **{name: name in form for name in BOXES})
        with tenant_work(caller) as session:
            update_equipment(session, caller.tenant_id, caller.actor, equipment_id, given)
    except REFUSALS as error:
        return _form(request, caller, equipment_id, texts(form), error)
    return redirect(request, f"/instruments/{equipment_id}", flash="Changed.")


@router.post("/{equipment_id}/keys")
def new_key(request: Request, equipment_id: Id, caller: Administrator, form: Form) -> Response:
    """A new key, tried first from now on; the ones before stay valid for the overlap. It is never shown again."""
    try:
        given = fill(KeyInput, form)
        with tenant_work(caller) as session:
            add_key(session, caller.tenant_id, caller.actor, equipment_id, given)
    except REFUSALS as error:
        status, errors = complaints(error)
        return instrument_page(request, caller, equipment_id, status=status, errors=errors)
    return redirect(request, f"/instruments/{equipment_id}#keys", flash="The new key is in use.")


@router.post("/{equipment_id}/keys/{key_id}/end")
def stop_key(request: Request, equipment_id: Id, key_id: Id, caller: Administrator) -> Response:
    """End a key at once."""
    try:
        with tenant_work(caller) as session:
            end_key(session, caller.tenant_id, caller.actor, equipment_id, key_id)
    except REFUSALS as error:
        status, errors = complaints(error)
        return instrument_page(request, caller, equipment_id, status=status, errors=errors)
    return redirect(request, f"/instruments/{equipment_id}#keys", flash="The key has ended.")


def _form(
    request: Request,
    caller: Caller,
    equipment_id: int | None,
    values: Mapping[str, Any],
    refused: Refusal | None = None,
) -> Response:
    status, errors = complaints(refused)
    meanwhile = None
    with tenant_work(caller) as session:
        departments = load_choices(session, caller.tenant_id).departments
        if equipment_id is not None and is_stale(refused):
            names = {"department_id": {str(key): name for key, name in departments}}
            typed = {**values, **{name: values.get(name) == "true" for name in BOXES}}
            found = changed_since(session, caller.tenant_id, "equipment", equipment_id, int(values["version"]))
            meanwhile = meanwhile_view(found, typed, names)
            merged = _shown(meanwhile.merged) if meanwhile else {}
            present = get_equipment(session, caller.tenant_id, equipment_id).version
            values = {**values, **merged, "version": present}
    context = {
        "equipment_id": equipment_id,
        "values": dict(values),
        "errors": errors,
        "departments": departments,
        "meanwhile": meanwhile,
    }
    return show(request, "equipment_form.html", caller, status=status, context=context)


def _values(row: Equipment) -> dict[str, Any]:
    return _shown({name: getattr(row, name) for name in EquipmentChange.model_fields})


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the fields of a form hold them."""
    return {name: "true" if value is True else "" if value is False else value for name, value in values.items()}
