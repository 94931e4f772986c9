"""What the pages about alerts share: how they are shown, and what they say beside a field."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from api.alerts import words
from api.deps import Caller
from api.render import render
from models.kernel.errors import ConflictError


def show(
    request: Request, template: str, caller: Caller, *, status: int = 200, context: Mapping[str, Any] | None = None
) -> HTMLResponse:
    """A page of this area; templates see its `words` beside what every page has."""
    return render(request, f"alerts/{template}", caller, status, words=words, **(context or {}))


def is_stale(error: Exception | None) -> bool:
    """Whether somebody else changed it since the form was opened."""
    return isinstance(error, ConflictError) and error.field is None
