"""Ordering a test or a panel for a patient who is searched for by code or name."""

import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import Form, text, texts
from api.instruments.pages_kit import REFUSALS, Orderer, Refusal, complaints, show
from api.instruments.worklist_view import View
from api.people.choosing import chosen_patient, found_patients, refuse_unfitting, show_found
from api.render import redirect
from api.runs import start_sending
from models.instruments.inputs import OrderInput
from models.instruments.stores.choices import load_choices
from models.instruments.stores.orders import order_many
from models.kernel.errors import ConflictError
from models.kernel.fields import Id
from models.kernel.idempotency import once

router = APIRouter(prefix="/assignments/new")


@router.get("")
def show_order_form(request: Request, caller: Orderer, patient: Annotated[Id | None, Query()] = None) -> Response:
    """The empty form, or one for a patient already chosen."""
    return _form(request, caller, {"patient_id": str(patient)} if patient else {})


@router.post("/patients")
def find_patients(request: Request, caller: Orderer, form: Form) -> Response:
    """The patients a text fits, to choose from. The reading is noted."""
    return show_found(request, caller, form)


@router.post("")
def order(request: Request, caller: Orderer, form: Form) -> Response:
    """Order it once, however often the button is pressed, and open what was made."""
    if "search" in form:
        return _form(request, caller, texts(form))
    try:
        ids = _order(caller, form)
    except ConflictError as error:
        if error.field != "Idempotency-Key":
            return _form(request, caller, texts(form), error)
        again = ConflictError("this form was used for another order before; look through it and order again")
        return _form(request, caller, texts(form) | {"form_key": ""}, again)
    except REFUSALS as error:
        return _form(request, caller, texts(form), error)
    start_sending(caller, ids)
    if len(ids) == 1:
        return redirect(request, f"/assignments/{ids[0]}", flash="Ordered.")
    address = View(search=text(form, "sample_id")).address()
    return redirect(request, address, flash=f"Ordered: {len(ids)} tests of the panel.")


def _order(caller: Caller, form: FormData) -> list[int]:
    kind, _, code = text(form, "what").partition(":")
    given = {
        "patient_id": text(form, "patient_id"),
        "panel_code" if kind == "panel" else "test_code": code,
        "sample_id": text(form, "sample_id"),
        "priority": text(form, "priority"),
        "equipment_id": text(form, "equipment_id"),
    }
    wanted = OrderInput.model_validate({name: value for name, value in given.items() if value})

    with tenant_work(caller) as session:
        refuse_unfitting(session, caller, form)

        def do() -> dict[str, Any]:
            return {"ids": order_many(session, caller.tenant_id, caller.actor, [wanted])}

        made = once(
            session,
            caller.tenant_id,
            scope=f"order-page:{caller.user_id}",
            key=text(form, "form_key") or secrets.token_urlsafe(12),
            content=wanted.model_dump(mode="json"),
            do=do,
        )
    return list(made["ids"])


def _form(request: Request, caller: Caller, values: Mapping[str, str], error: Refusal | None = None) -> Response:
    status, errors = complaints(error)
    with tenant_work(caller) as session:
        choices = load_choices(session, caller.tenant_id, offered_only=True)
        found, total = found_patients(session, caller, values.get("patient_text", ""))
        chosen = chosen_patient(session, caller, values)
    context = {
        "choices": choices,
        "values": dict(values),
        "errors": _beside(errors, values),
        "form_key": values.get("form_key") or secrets.token_urlsafe(12),
        "found": found if chosen is None or chosen in found else [chosen, *found],
        "total": total,
        "asked": values.get("patient_text", ""),
        "chosen": str(chosen.id) if chosen is not None else "",
    }
    return show(request, "order.html", caller, status=status, context=context)


def _beside(errors: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The complaints under the names of the form's own fields; what is missing is said even beside other mistakes."""
    if not errors:
        return {}
    said = {("what" if name in ("test_code", "panel_code") else name): text for name, text in errors.items()}
    for name, complaint in (("patient_id", "choose a patient"), ("what", "choose a test or a panel")):
        if not values.get(name):
            said[name] = complaint
            said.pop("", None)  # the same, in the words of the API
    return said
