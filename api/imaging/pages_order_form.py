"""Ordering an examination for a patient who is searched for by code or name."""

import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import Form, fill, text, texts
from api.imaging.pages_kit import REFUSALS, Looker, Refusal, complaints, show
from api.imaging.words import MODALITIES
from api.people.choosing import chosen_patient, found_patients, refuse_unfitting, show_found
from api.render import redirect
from models.imaging.schemas import OrderIn
from models.imaging.stores.orders import create_order
from models.kernel.errors import ConflictError
from models.kernel.fields import Id
from models.kernel.idempotency import once

router = APIRouter(prefix="/radiology/orders/new")
NEEDED = {"patient_id": "choose a patient", "procedure": "is needed", "modality": "choose one"}


@router.get("")
def show_radiology_order_form(
    request: Request, caller: Looker, patient_id: Annotated[Id | None, Query()] = None
) -> Response:
    """The empty form, or one for a patient already chosen."""
    return _form(request, caller, {"patient_id": str(patient_id)} if patient_id else {})


@router.post("/patients")
def find_radiology_patients(request: Request, caller: Looker, form: Form) -> Response:
    """The patients a text fits, to choose from. The reading is noted."""
    return show_found(request, caller, form)


@router.post("")
def order_examination(request: Request, caller: Looker, form: Form) -> Response:
    """Order it once, however often the button is pressed, and open it."""
    if "search" in form:
        return _form(request, caller, texts(form))
    try:
        order_id = _order(caller, form)
    except ConflictError as error:
        if error.field != "Idempotency-Key":
            return _form(request, caller, texts(form), error)
        again = ConflictError("this form was used for another order before; look through it and order again")
        return _form(request, caller, texts(form) | {"form_key": ""}, again)
    except REFUSALS as error:
        return _form(request, caller, texts(form), error)
    return redirect(request, f"/radiology/orders/{order_id}", flash="Ordered.")


def _order(caller: Caller, form: FormData) -> int:
    given = fill(OrderIn, form)
    with tenant_work(caller) as session:
        refuse_unfitting(session, caller, form)

        def do() -> dict[str, Any]:
            return {"id": create_order(session, caller.tenant_id, caller.actor, given, user_id=caller.user_id).id}

        made = once(
            session,
            caller.tenant_id,
            scope=f"radiology-order-page:{caller.user_id}",
            key=text(form, "form_key") or secrets.token_urlsafe(12),
            content=given.model_dump(mode="json"),
            do=do,
        )
    return int(made["id"])


def _form(request: Request, caller: Caller, values: Mapping[str, str], error: Refusal | None = None) -> Response:
    status, errors = complaints(error)
    with tenant_work(caller) as session:
        found, total = found_patients(session, caller, values.get("patient_text", ""))
        chosen = chosen_patient(session, caller, values)
    context = {
        "modalities": list(MODALITIES.items()),
        "values": dict(values),
        "errors": errors | {name: said for name, said in NEEDED.items() if errors and not values.get(name)},
        "form_key": values.get("form_key") or secrets.token_urlsafe(12),
        "found": found if chosen is None or chosen in found else [chosen, *found],
        "total": total,
        "asked": values.get("patient_text", ""),
        "chosen": str(chosen.id) if chosen is not None else "",
    }
    return show(request, "order_form.html", caller, status=status, context=context)
