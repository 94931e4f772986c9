"""What the pages about devices and readings share: who may see them, and how they are shown."""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from api.deps import Caller, page
from api.instruments import words
from api.instruments.pages_kit import REFUSALS, Refusal, complaints
from api.render import render
from api.vitals import words as vitals
from models.people.roles import BEDSIDE

__all__ = ["REFUSALS", "Bedside", "Decider", "Keeper", "Looker", "Refusal", "complaints", "show"]

Looker = Annotated[Caller, Depends(page(*BEDSIDE, "administrator"))]
"""Who sees devices; an administrator sees them without their patients."""
Keeper = Annotated[Caller, Depends(page("supervisor", "administrator"))]
"""Who keeps devices and their keys."""
Bedside = Annotated[Caller, Depends(page(*BEDSIDE))]
"""Who reads and enters vital signs, and says whose a device is."""
Decider = Annotated[Caller, Depends(page("doctor", "nurse", "supervisor"))]
"""Who decides about held readings."""


def show(
    request: Request, template: str, caller: Caller, *, status: int = 200, context: dict[str, Any] | None = None
) -> HTMLResponse:
    """A page of this area; templates see `words` and `vitals` beside what every page has."""
    return render(request, f"vitals/{template}", caller, status, words=words, vitals=vitals, **(context or {}))
