"""Merging two records of one patient, and who looked at whom."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from api.deps import Caller, page, tenant_work
from api.errors import form_errors, form_status
from api.forms import Form, fill
from api.render import redirect, render
from models.kernel.errors import RefusedError
from models.kernel.fields import Id, Line
from models.people.schemas import MergeIn
from models.people.stores import merges, patients, reads

router = APIRouter()
Supervisor = Annotated[Caller, Depends(page("supervisor"))]
Overseer = Annotated[Caller, Depends(page("supervisor", "administrator"))]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=100_000)]
PAGE_SIZE = 50


@router.get("/patients/{patient_id}/merge")
def show_merge(request: Request, caller: Supervisor, patient_id: Id, code: Annotated[Line, Query()] = "") -> Response:
    """Choose the record to merge into this one, and see both side by side before it is done."""
    return _merge_page(request, caller, patient_id, code=code)


@router.post("/patients/{patient_id}/merge")
def merge(request: Request, caller: Supervisor, patient_id: Id, form: Form) -> Response:
    """Merge, both records being as they were when the page was shown."""
    try:
        with tenant_work(caller) as session:
            kept, moved = merges.merge_patients(
                session, caller.tenant_id, caller.actor, patient_id, fill(MergeIn, form)
            )
    except (ValidationError, RefusedError) as error:
        return _merge_page(request, caller, patient_id, code=str(form.get("code", "")), error=error)
    told = f"The records are one now; {sum(moved.values())} rows moved to this one."
    return redirect(request, f"/patients/{kept.id}", flash=told)


@router.get("/patients/{patient_id}/access-log")
def show_reads(request: Request, caller: Overseer, patient_id: Id, number: PageNumber = 1) -> Response:
    """Who looked at this patient."""
    return _reads_page(request, caller, patient_id, number)


@router.get("/access-log")
def find_reads(
    request: Request, caller: Overseer, code: Annotated[Line, Query()] = "", number: PageNumber = 1
) -> Response:
    """Who looked at the patient with this code."""
    if not code:
        return render(request, "people/access_search.html", caller, code="", is_unknown=False)
    with tenant_work(caller) as session:
        patient = patients.find_by_code(session, caller.tenant_id, code)
    if patient is None:
        return render(request, "people/access_search.html", caller, 404, code=code, is_unknown=True)
    return _reads_page(request, caller, patient.id, number)


def _reads_page(request: Request, caller: Caller, patient_id: int, number: int) -> Response:
    with tenant_work(caller) as session:
        patient = patients.get_patient(session, caller.tenant_id, patient_id)
        rows, total = reads.list_reads(session, caller.tenant_id, patient_id, page=number, size=PAGE_SIZE)
        reads.note_read(session, caller.tenant_id, caller.actor, [patient_id], action=reads.LOG_READ)
    return render(
        request,
        "people/access_log.html",
        caller,
        patient=patient,
        reads=rows,
        total=total,
        page=number,
        size=PAGE_SIZE,
        page_address=lambda wanted: f"/patients/{patient_id}/access-log?" + urlencode({"page": wanted}),
    )


def _merge_page(
    request: Request,
    caller: Caller,
    patient_id: int,
    *,
    code: str,
    error: ValidationError | RefusedError | None = None,
) -> Response:
    with tenant_work(caller) as session:
        kept = patients.get_patient(session, caller.tenant_id, patient_id)
        patients.refuse_merged(kept)
        other = patients.find_by_code(session, caller.tenant_id, code) if code else None
        other = None if other is not None and other.id == kept.id else other
        seen = [kept.id] + ([other.id] if other else [])
        reads.note_read(session, caller.tenant_id, caller.actor, seen)
    return render(
        request,
        "people/patient_merge.html",
        caller,
        form_status(error),
        kept=kept,
        other=other,
        code=code,
        errors=form_errors(error),
    )
