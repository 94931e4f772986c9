"""Ordering a test or a panel for a patient who is searched for by code or name."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import Form, text, texts
from api.instruments.pages_kit import REFUSALS, Orderer, Refusal, complaints, show, whole_number
from api.instruments.worklist_view import View
from api.render import redirect
from api.runs import start_sending
from models.instruments.inputs import OrderInput
from models.instruments.stores.choices import load_choices
from models.instruments.stores.orders import order_many
from models.kernel.errors import ConflictError
from models.kernel.fields import Id
from models.kernel.idempotency import once
from models.people.stores.patients import get_patient, search_patients
from models.people.stores.reads import note_read
from models.people.tables import Patient

MOST_FOUND = 8
SHORTEST_SEARCH = 2
router = APIRouter(prefix="/assignments/new")


@router.get("")
def show_order_form(request: Request, caller: Orderer, patient: Annotated[Id | None, Query()] = None) -> Response:
    """The empty form, or one for a patient already chosen."""
    return _form(request, caller, {"patient_id": str(patient)} if patient else {})


@router.post("/patients")
def find_patients(request: Request, caller: Orderer, form: Form) -> Response:
    """The patients a text fits, to choose from; in the body, so that no name is in an address. The reading is noted."""
    with tenant_work(caller) as session:
        found, total = _found(session, caller, text(form, "patient_text"))
    context = {"found": found, "total": total, "chosen": text(form, "patient_id"), "asked": text(form, "patient_text")}
    return show(request, "_patients.html", caller, context=context)


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
        found, total = _found(session, caller, values.get("patient_text", ""))
        chosen = _chosen(session, caller, values.get("patient_id", ""))
    context = {
        "choices": choices,
        "values": dict(values),
        "errors": _beside(errors, values),
        "form_key": values.get("form_key") or secrets.token_urlsafe(12),
        "found": found if chosen is None or chosen in found else [chosen, *found],
        "total": total,
        "asked": values.get("patient_text", ""),
        "chosen": values.get("patient_id", ""),
    }
    return show(request, "order.html", caller, status=status, context=context)


def _found(session: Session, caller: Caller, wanted: str) -> tuple[Sequence[Patient], int]:
    if len(wanted.strip()) < SHORTEST_SEARCH:
        return [], 0
    found = search_patients(session, caller.tenant_id, wanted, size=MOST_FOUND)
    note_read(session, caller.tenant_id, caller.actor, [one.id for one in found.patients])
    return found.patients, found.total


def _chosen(session: Session, caller: Caller, patient_id: str) -> Patient | None:
    number = whole_number(patient_id, field="patient_id")
    if number is None:
        return None
    patient = get_patient(session, caller.tenant_id, number)
    note_read(session, caller.tenant_id, caller.actor, [patient.id])
    return patient


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
