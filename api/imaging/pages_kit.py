"""What the pages about images share: who may see them, and how they are shown."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.deps import Caller, page
from api.imaging import words as imaging
from api.imaging.access import TECHNICIAN
from api.instruments import words
from api.instruments.pages_kit import REFUSALS, Refusal, complaints
from api.render import render
from models.people.roles import RADIOLOGY
from models.people.tables import User

__all__ = [
    "REFUSALS",
    "Looker",
    "PageNumber",
    "Refusal",
    "Reviewer",
    "Technician",
    "complaints",
    "names_of",
    "show",
]

Looker = Annotated[Caller, Depends(page(*RADIOLOGY))]
"""Who sees orders and studies, and orders."""
Technician = Annotated[Caller, Depends(page(TECHNICIAN))]
"""Who uploads and assigns."""
Reviewer = Annotated[Caller, Depends(page("doctor"))]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=100_000)]


def show(
    request: Request, template: str, caller: Caller, *, status: int = 200, context: dict[str, Any] | None = None
) -> HTMLResponse:
    """A page of this area; templates see `words` and `imaging` beside what every page has."""
    return render(request, f"imaging/{template}", caller, status, words=words, imaging=imaging, **(context or {}))


def names_of(session: Session, tenant_id: int, user_ids: Iterable[int | None]) -> dict[int, str]:
    """The names of these users."""
    ids = {one for one in user_ids if one}
    if not ids:
        return {}
    wanted = select(User.id, User.name).where(User.tenant_id == tenant_id, User.id.in_(ids))
    return dict(session.execute(wanted).tuples().all())
