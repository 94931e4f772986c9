"""The keys with which an instrument pushes its results, on its page: made, shown once, and revoked."""

from fastapi import APIRouter, Request, Response

from api.deps import tenant_work
from api.forms import Form, fill
from api.instruments.pages_instruments import instrument_page
from api.instruments.pages_kit import REFUSALS, Administrator, complaints
from api.render import redirect
from models.instruments.inputs import PushKeyInput
from models.instruments.stores.push_keys import issue_push_key, revoke_push_key
from models.kernel.fields import Id

router = APIRouter(prefix="/instruments/{equipment_id}/push-keys")


@router.post("")
def new_push_key(request: Request, equipment_id: Id, caller: Administrator, form: Form) -> Response:
    """A new key, shown on this page and never again; the ones before stay valid for the overlap."""
    try:
        given = fill(PushKeyInput, form)
        with tenant_work(caller) as session:
            _, key = issue_push_key(session, caller.tenant_id, caller.actor, equipment_id, given)
    except REFUSALS as error:
        status, errors = complaints(error)
        return instrument_page(request, caller, equipment_id, status=status, errors=errors)
    return instrument_page(request, caller, equipment_id, new_key=key)


@router.post("/{key_id}/revoke")
def revoke_key(request: Request, equipment_id: Id, key_id: Id, caller: Administrator) -> Response:
    """Refuse a key from now on."""
    with tenant_work(caller) as session:
        revoke_push_key(session, caller.tenant_id, caller.actor, equipment_id, key_id)
    return redirect(request, f"/instruments/{equipment_id}#push-keys", flash="The push key is refused from now on.")
