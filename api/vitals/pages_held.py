"""Held readings: why each is held, what was received, and the decision with its reason."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, text, texts
from api.render import redirect
from api.vitals.pages_kit import REFUSALS, Bedside, Decider, Refusal, complaints, show
from models.kernel.errors import InvalidError
from models.kernel.fields import Id
from models.people.stores.patients import get_patient
from models.people.stores.reads import note_read
from models.vitals.entries import HeldDecision
from models.vitals.readings import KNOWN
from models.vitals.stores import held

PAGE_SIZE = 50
SHOWN = sorted(KNOWN - {"device_id"})
Which = Literal["open", "decided"]
router = APIRouter(prefix="/vitals/held")


@router.get("")
def held_readings(
    request: Request,
    caller: Bedside,
    which: Annotated[Which, Query()] = "open",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """Those that wait for a decision, or those decided: devices and rules, no values."""
    with tenant_work(caller) as session:
        offset = (page - 1) * PAGE_SIZE
        rows, total = held.list_held(session, caller.tenant_id, is_open=which == "open", limit=PAGE_SIZE, offset=offset)
    context = {
        "rows": rows,
        "which": which,
        "page": page,
        "size": PAGE_SIZE,
        "total": total,
        "page_address": lambda number: f"/vitals/held?which={which}&page={number}",
    }
    return show(request, "held_list.html", caller, context=context)


@router.get("/{held_id}")
def held_reading(request: Request, held_id: Id, caller: Bedside) -> Response:
    """One held reading; that it was read is noted."""
    return _page(request, caller, held_id)


@router.post("/{held_id}/decide")
def decide_reading(request: Request, held_id: Id, caller: Decider, form: Form) -> Response:
    """Let it in, or turn it away."""
    try:
        action = text(form, "action")
        with tenant_work(caller) as session:
            held.get_held(session, caller.tenant_id, held_id)
            if action not in ("release", "discard"):
                raise InvalidError("choose one", field="action")
            given = fill(HeldDecision, form)
            if action == "release":
                held.release_held(session, caller.tenant_id, caller.actor, held_id, given)
            else:
                held.discard_held(session, caller.tenant_id, caller.actor, held_id, given)
    except REFUSALS as error:
        return _page(request, caller, held_id, refused=error, typed=texts(form))
    said = {"release": "Released: it is among the vital signs.", "discard": "Discarded."}
    return redirect(request, "/vitals/held", flash=said[action])


def _page(
    request: Request,
    caller: Caller,
    held_id: int,
    *,
    refused: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        found = held.get_held(session, caller.tenant_id, held_id)
        patient = None
        if found.patient_id is not None:
            patient = get_patient(session, caller.tenant_id, found.patient_id)
            note_read(session, caller.tenant_id, caller.actor, [found.patient_id])
        given = held.as_received(found.row)
    context: dict[str, Any] = {
        "found": found,
        "patient": patient,
        "given": [(name, given[name]) for name in SHOWN if given.get(name) is not None],
        "wrong": {one["field"] for one in found.row.findings},
        "errors": errors,
        "typed": dict(typed or {}),
        "may_decide": caller.has("doctor", "nurse", "supervisor"),
    }
    return show(request, "held.html", caller, status=status, context=context)
