"""What the instrument pages share: who may see them, and answers that keep what was typed."""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from api.deps import Caller, page
from api.errors import form_errors, form_status
from api.instruments import words
from api.render import render
from models.kernel.errors import ConflictError, ForbiddenError, InvalidError

Reader = Annotated[Caller, Depends(page("technician", "verifier", "doctor"))]
Staff = Annotated[Caller, Depends(page("technician", "verifier"))]
Technician = Annotated[Caller, Depends(page("technician"))]
Orderer = Annotated[Caller, Depends(page("technician", "doctor"))]
Verifier = Annotated[Caller, Depends(page("verifier"))]
Supervisor = Annotated[Caller, Depends(page("supervisor"))]
Keeper = Annotated[Caller, Depends(page("administrator", "supervisor"))]
"""Who changes equipment."""
Administrator = Annotated[Caller, Depends(page("administrator"))]
"""Who keeps keys, departments and the catalogue."""
Looker = Annotated[Caller, Depends(page("technician", "verifier", "doctor", "administrator"))]
"""Who may look at equipment and the catalogue."""

Refusal = ValidationError | ConflictError | ForbiddenError | InvalidError
REFUSALS = (ValidationError, ConflictError, ForbiddenError, InvalidError)
"""What a page says beside the form it concerns; every other error has a page of its own."""


def show(
    request: Request, template: str, caller: Caller, *, status: int = 200, context: dict[str, Any] | None = None
) -> HTMLResponse:
    """A page or fragment of this area; templates see `words` beside what every page has."""
    return render(request, f"instruments/{template}", caller, status, words=words, **(context or {}))


def is_fragment(request: Request) -> bool:
    """Whether htmx asks, and puts the answer into the page that is there."""
    return request.headers.get("HX-Request") == "true"


def is_stale(error: Refusal | None) -> bool:
    """Whether the record was changed by somebody else since the form was opened."""
    return isinstance(error, ConflictError) and error.field == "version"


def complaints(error: Refusal | None) -> tuple[int, dict[str, str]]:
    """The status of a refusal, and what to say beside which field; under an empty name what concerns no single one."""
    said = {("" if name == "body" else name): text for name, text in form_errors(error).items()}
    return form_status(error), {name: "is needed" if text == "Field required" else text for name, text in said.items()}
