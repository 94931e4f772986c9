"""A patient chosen in a form: searched for by code or name, and shown again with it. Every reading is noted.

The form includes `people/_choose_patient.html`, whose search posts to an address that answers with `show_found`. Who is
chosen always fits the text beside it: choosing.js takes the choice back while the text changes, and `refuse_unfitting`
looks at both once more when the form arrives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import text, whole_number
from api.instruments import words
from api.render import render
from models.kernel.errors import InvalidError
from models.people.stores.patients import fits_patient, get_patient, search_patients
from models.people.stores.reads import note_read
from models.people.tables import Patient

MOST_FOUND, SHORTEST_SEARCH = 8, 2


def show_found(request: Request, caller: Caller, form: FormData) -> HTMLResponse:
    """The patients that the text of a form fits, to choose from; in a body, so that no name is in an address."""
    asked = text(form, "patient_text")
    with tenant_work(caller) as session:
        found, total = found_patients(session, caller, asked)
    context: dict[str, Any] = {
        "found": found,
        "total": total,
        "chosen": "",
        "asked": asked,
        "words": words,
    }
    return render(request, "people/_patients.html", caller, **context)


def found_patients(session: Session, caller: Caller, wanted: str) -> tuple[Sequence[Patient], int]:
    """The first patients a text fits, and how many there are."""
    if len(wanted.strip()) < SHORTEST_SEARCH:
        return [], 0
    found = search_patients(session, caller.tenant_id, wanted, size=MOST_FOUND)
    note_read(session, caller.tenant_id, caller.actor, [one.id for one in found.patients])
    return found.patients, found.total


def refuse_unfitting(session: Session, caller: Caller, form: FormData) -> None:
    """InvalidError where a form's text is not about the patient it names: the text was changed after the choice."""
    number = whole_number(text(form, "patient_id"), field="patient_id")
    asked = text(form, "patient_text")
    if number is not None and asked and not fits_patient(session, caller.tenant_id, number, asked):
        raise InvalidError("the search text is about somebody else: choose the patient again", field="patient_id")


def chosen_patient(session: Session, caller: Caller, values: Mapping[str, str]) -> Patient | None:
    """The patient a form names; None where it names none, or its text is not about them."""
    number = whole_number(values.get("patient_id"), field="patient_id")
    asked = values.get("patient_text", "")
    if number is None or (asked.strip() and not fits_patient(session, caller.tenant_id, number, asked)):
        return None
    patient = get_patient(session, caller.tenant_id, number)
    note_read(session, caller.tenant_id, caller.actor, [patient.id])
    return patient
