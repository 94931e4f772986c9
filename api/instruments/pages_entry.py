"""Giving a value: entered by hand where there is none, or correcting the one that is there."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from api.deps import Caller, tenant_work
from api.forms import Form, fill, texts
from api.instruments.pages_assignment import load_sheet
from api.instruments.pages_kit import REFUSALS, Refusal, Supervisor, Technician, complaints, show
from api.render import redirect
from models.instruments.inputs import CorrectionInput, EntryInput
from models.instruments.result_rules import limits_for
from models.instruments.stores import entry
from models.instruments.stores.expected import load_expected
from models.kernel.clock import utc_now
from models.kernel.fields import Id

router = APIRouter(prefix="/assignments/{assignment_id}")


@router.get("/result")
def show_entry(request: Request, assignment_id: Id, caller: Technician) -> Response:
    """The form to enter a result by hand."""
    return _form(request, caller, assignment_id, "enter")


@router.post("/result")
def enter(request: Request, assignment_id: Id, caller: Technician, form: Form) -> Response:
    """Keep the value that was typed, where it fits the test; else the form again with what was typed."""
    try:
        given = fill(EntryInput, form, unit=str(form.get("unit", "")))
        with tenant_work(caller) as session:
            entry.enter_result(session, caller.tenant_id, caller.actor, assignment_id, given)
    except REFUSALS as error:
        return _form(request, caller, assignment_id, "enter", typed=texts(form), refused=error)
    return redirect(request, f"/assignments/{assignment_id}", flash="The result is kept. Another person verifies it.")


@router.get("/correct")
def show_correction(request: Request, assignment_id: Id, caller: Supervisor) -> Response:
    """The form to correct the result that is there."""
    return _form(request, caller, assignment_id, "correct")


@router.post("/correct")
def correct(request: Request, assignment_id: Id, caller: Supervisor, form: Form) -> Response:
    """Keep the correction as a new version; else the form again with what was typed."""
    try:
        given = fill(CorrectionInput, form, unit=str(form.get("unit", "")))
        with tenant_work(caller) as session:
            entry.correct_result(session, caller.tenant_id, caller.actor, assignment_id, given)
    except REFUSALS as error:
        return _form(request, caller, assignment_id, "correct", typed=texts(form), refused=error)
    return redirect(request, f"/assignments/{assignment_id}", flash="Corrected. The new version is verified anew.")


def _form(
    request: Request,
    caller: Caller,
    assignment_id: int,
    deed: str,
    *,
    typed: Mapping[str, str] | None = None,
    refused: Refusal | None = None,
) -> Response:
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        context = _context(session, caller, assignment_id)
    problem = next((one.problem for one in context["sheet"].deeds if one.name == deed), "")
    context |= {"deed": deed, "typed": dict(typed or {}), "errors": errors, "problem": problem}
    return show(request, "entry.html", caller, status=status, context=context)


def _context(session: Session, caller: Caller, assignment_id: int) -> dict[str, Any]:
    sheet = load_sheet(session, caller, assignment_id)
    expected = load_expected(session, caller.tenant_id, [assignment_id])[assignment_id]
    return {"sheet": sheet, "limits": limits_for(expected, utc_now())}
