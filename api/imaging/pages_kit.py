"""What the pages about images share: who may see them, how they are shown, and patients to choose from."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.deps import Caller, page
from api.imaging import words as imaging
from api.imaging.access import TECHNICIAN
from api.instruments import words
from api.instruments.pages_kit import REFUSALS, Refusal, complaints, whole_number
from api.render import render
from models.people.roles import RADIOLOGY
from models.people.stores.patients import get_patient, search_patients
from models.people.stores.reads import note_read
from models.people.tables import Patient, User

__all__ = [
    "REFUSALS",
    "Looker",
    "PageNumber",
    "Refusal",
    "Reviewer",
    "Technician",
    "chosen_patient",
    "complaints",
    "found_patients",
    "names_of",
    "show",
    "whole_number",
]

Looker = Annotated[Caller, Depends(page(*RADIOLOGY))]
"""Who sees orders and studies, and orders."""
Technician = Annotated[Caller, Depends(page(TECHNICIAN))]
"""Who uploads and assigns."""
Reviewer = Annotated[Caller, Depends(page("doctor"))]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=100_000)]
MOST_FOUND, SHORTEST_SEARCH = 8, 2


def show(
    request: Request, template: str, caller: Caller, *, status: int = 200, context: dict[str, Any] | None = None
) -> HTMLResponse:
    """A page of this area; templates see `words` and `imaging` beside what every page has."""
    return render(request, f"imaging/{template}", caller, status, words=words, imaging=imaging, **(context or {}))


def found_patients(session: Session, caller: Caller, wanted: str) -> tuple[Sequence[Patient], int]:
    """The first patients a text fits, and how many there are; that they were shown is noted."""
    if len(wanted.strip()) < SHORTEST_SEARCH:
        return [], 0
    found = search_patients(session, caller.tenant_id, wanted, size=MOST_FOUND)
    note_read(session, caller.tenant_id, caller.actor, [one.id for one in found.patients])
    return found.patients, found.total


def chosen_patient(session: Session, caller: Caller, patient_id: str) -> Patient | None:
    """The patient of a form; that they were shown is noted."""
    number = whole_number(patient_id, field="patient_id")
    if number is None:
        return None
    patient = get_patient(session, caller.tenant_id, number)
    note_read(session, caller.tenant_id, caller.actor, [patient.id])
    return patient


def names_of(session: Session, tenant_id: int, user_ids: Iterable[int | None]) -> dict[int, str]:
    """The names of these users."""
    ids = {one for one in user_ids if one}
    if not ids:
        return {}
    wanted = select(User.id, User.name).where(User.tenant_id == tenant_id, User.id.in_(ids))
    return dict(session.execute(wanted).tuples().all())
