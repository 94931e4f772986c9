"""A patient chosen in a form: searched for by code or name, and shown again with it. Every reading is noted.

The form includes `people/_choose_patient.html`, whose search posts to an address that answers with `show_found`.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import text, whole_number
from api.instruments import words
from api.render import render
from models.people.stores.patients import get_patient, search_patients
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
        "chosen": text(form, "patient_id"),
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


def chosen_patient(session: Session, caller: Caller, patient_id: str) -> Patient | None:
    """The patient a form names; None where it names none."""
    number = whole_number(patient_id, field="patient_id")
    if number is None:
        return None
    patient = get_patient(session, caller.tenant_id, number)
    note_read(session, caller.tenant_id, caller.actor, [patient.id])
    return patient
