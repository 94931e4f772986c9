"""Patients: found, registered, edited."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from api.deps import Caller, page, tenant_work
from api.errors import form_errors, form_status
from api.forms import Form, fill, texts
from api.imaging.words import STATES
from api.instruments import words
from api.render import redirect, render
from models.imaging.stores.orders import OrderFilter, list_orders
from models.instruments.stores.details import load_released
from models.kernel.errors import RefusedError
from models.kernel.fields import Id, Line
from models.people.roles import BEDSIDE, CLINICAL, RADIOLOGY, REGISTRARS
from models.people.schemas import IdentifierIn, PatientEdit, PatientIn, Sex
from models.people.stores import patients, reads

router = APIRouter(prefix="/patients")
Reader = Annotated[Caller, Depends(page(*CLINICAL))]
Registrar = Annotated[Caller, Depends(page(*REGISTRARS))]
SEXES = [(sex.value, sex.value.title()) for sex in (Sex.UNKNOWN, Sex.FEMALE, Sex.MALE, Sex.OTHER)]
RESULT_READERS = ("technician", "verifier", "doctor")
PAGE_SIZE = 25
MOST_IMAGING = 10
"""Radiology orders on the page; the rest is a link away."""
Problem = ValidationError | RefusedError | None


@router.get("")
def show_patients(
    request: Request,
    caller: Reader,
    q: Annotated[Line, Query()] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> Response:
    """The list, or what a search found in it."""
    with tenant_work(caller) as session:
        found = patients.search_patients(session, caller.tenant_id, q, page=number, size=PAGE_SIZE)
        reads.note_read(session, caller.tenant_id, caller.actor, [row.id for row in found.patients])
    context: dict[str, Any] = {
        "patients": found.patients,
        "total": found.total,
        "page": number,
        "size": PAGE_SIZE,
        "q": q,
        "page_address": lambda wanted: "/patients?" + urlencode({"q": q, "page": wanted}),
        "may_register": caller.has(*REGISTRARS),
    }
    is_fragment = request.headers.get("HX-Target") == "found"
    return render(request, "people/patients_found.html" if is_fragment else "people/patients.html", caller, **context)


@router.get("/new")
def show_new_patient(request: Request, caller: Registrar) -> Response:
    """The form for a new patient."""
    return render(request, "people/patient_new.html", caller, sexes=SEXES, errors={}, values={"sex": "unknown"})


@router.post("/new")
def create_patient(request: Request, caller: Registrar, form: Form) -> Response:
    """Register a patient."""
    try:
        with tenant_work(caller) as session:
            patient = patients.create_patient(session, caller.tenant_id, caller.actor, fill(PatientIn, form))
    except (ValidationError, RefusedError) as error:
        context = {"sexes": SEXES, "errors": form_errors(error), "values": texts(form)}
        return render(request, "people/patient_new.html", caller, form_status(error), **context)
    return redirect(request, f"/patients/{patient.id}", flash="The patient is registered.")


@router.get("/{patient_id}")
def show_patient(request: Request, caller: Reader, patient_id: Id) -> Response:
    """One patient."""
    return _patient(request, caller, patient_id)


@router.get("/{patient_id}/edit")
def show_edit(request: Request, caller: Registrar, patient_id: Id) -> Response:
    """The form to change a patient."""
    return _edit_form(request, caller, patient_id)


@router.post("/{patient_id}/edit")
def edit_patient(request: Request, caller: Registrar, patient_id: Id, form: Form) -> Response:
    """Change a patient; refused when somebody else did so meanwhile."""
    try:
        with tenant_work(caller) as session:
            patients.edit_patient(session, caller.tenant_id, caller.actor, patient_id, fill(PatientEdit, form))
    except (ValidationError, RefusedError) as error:
        return _edit_form(request, caller, patient_id, error=error, form=form)
    return redirect(request, f"/patients/{patient_id}", flash="Saved.")


@router.post("/{patient_id}/identifiers")
def add_identifier(request: Request, caller: Registrar, patient_id: Id, form: Form) -> Response:
    """Note the patient's number in another system."""
    try:
        with tenant_work(caller) as session:
            given = fill(IdentifierIn, form)
            patients.add_identifier(session, caller.tenant_id, caller.actor, patient_id, given)
    except (ValidationError, RefusedError) as error:
        return _patient(request, caller, patient_id, error=error, form=form)
    return redirect(request, f"/patients/{patient_id}", flash="The identifier is noted.")


@router.post("/{patient_id}/identifiers/{identifier_id}/remove")
def remove_identifier(request: Request, caller: Registrar, patient_id: Id, identifier_id: Id) -> Response:
    """Take a number back."""
    with tenant_work(caller) as session:
        patients.remove_identifier(session, caller.tenant_id, caller.actor, patient_id, identifier_id=identifier_id)
    return redirect(request, f"/patients/{patient_id}", flash="The identifier is removed.")


def _patient(
    request: Request, caller: Caller, patient_id: int, *, error: Problem = None, form: Form | None = None
) -> Response:
    with tenant_work(caller) as session:
        patient = patients.get_patient(session, caller.tenant_id, patient_id)
        kept_id = patient.merged_into_id
        kept = patients.get_patient(session, caller.tenant_id, kept_id) if kept_id else None
        identifiers = patients.list_identifiers(session, caller.tenant_id, patient_id)
        codes = patients.codes_of(session, caller.tenant_id, patient_id)
        results = load_released(session, caller.tenant_id, patient_id=patient_id) if caller.has(*RESULT_READERS) else []
        imaging = list_orders(session, caller.tenant_id, OrderFilter(patient_id=patient_id), size=MOST_IMAGING)
        reads.note_read(session, caller.tenant_id, caller.actor, [patient_id])
    return render(
        request,
        "people/patient.html",
        caller,
        form_status(error),
        patient=patient,
        kept=kept,
        identifiers=identifiers,
        merged_codes=sorted(codes - {patient.code}),
        errors=form_errors(error),
        values=texts(form) if form else {},
        results=results,
        words=words,
        may_read_results=caller.has(*RESULT_READERS) and kept is None,
        imaging=imaging if caller.has(*RADIOLOGY) else None,
        imaging_states=STATES,
        may_order=caller.has("technician", "doctor") and kept is None,
        may_read_vitals=caller.has(*BEDSIDE) and kept is None,
        may_register=caller.has(*REGISTRARS) and kept is None,
        may_merge=caller.has("supervisor") and kept is None,
        may_oversee=caller.has("supervisor", "administrator"),
    )


def _edit_form(
    request: Request, caller: Caller, patient_id: int, *, error: Problem = None, form: Form | None = None
) -> Response:
    with tenant_work(caller) as session:
        patient = patients.get_patient(session, caller.tenant_id, patient_id)
        patients.refuse_merged(patient)
        reads.note_read(session, caller.tenant_id, caller.actor, [patient_id])
    present = PatientEdit.model_validate(patient, from_attributes=True).model_dump(mode="json")
    context = {"patient": patient, "sexes": SEXES, "errors": form_errors(error)}
    values = texts(form) if form else present
    return render(request, "people/patient_edit.html", caller, form_status(error), values=values, **context)
