"""Errors as answers: one handler maps class to status, for programs as JSON and for people as a page.

Answers name fields and ids, never values, and never a stack trace.
"""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import exc as database
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from api.metrics import route_template
from api.render import error_page, sign_in_page, wants_page
from models.kernel.errors import (
    AwayError,
    ConflictError,
    DamagedError,
    ForbiddenError,
    HeldError,
    InvalidError,
    LabwireError,
    NotAcceptableError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    RetryableError,
    TooLargeError,
    UnauthenticatedError,
    UnknownOutcomeError,
    UnreadableError,
)

log = logging.getLogger(__name__)
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnauthenticatedError, 401),
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (NotAcceptableError, 406),
    (ConflictError, 409),
    (UnreadableError, 400),
    (InvalidError, 422),
    (HeldError, 422),
    (TooLargeError, 413),
    (RateLimitedError, 429),
    (RefusedError, 422),
    (DamagedError, 500),
    (UnknownOutcomeError, 502),
    (RetryableError, 503),
    (AwayError, 503),
    (database.DataError, 422),
    (database.IntegrityError, 409),
    (database.OperationalError, 503),
    (database.InterfaceError, 503),
    (database.TimeoutError, 503),
)
EVERYWHERE = (400, 413, 422, 500, 503)
DATABASE_RETRY_SECONDS = 2
HEADED = "/dicom-web/"
"""Where HEAD is answered beside every GET (api/imaging/heading.py)."""
MEANING = {
    400: "The request cannot be read",
    401: "Nobody we know is asking: sign in or send a valid token",
    403: "Known, but not allowed to do this",
    404: "No such thing in your laboratory",
    406: "There is no answer of a kind that `Accept` names",
    409: "Not possible in the present state, or changed by somebody else meanwhile",
    413: "The request is larger than is accepted",
    415: "The body is not of a kind that is taken",
    416: "No byte of the file is in the range",
    422: "A field is not acceptable; `fields` names it",
    429: "Too many requests; `Retry-After` says when to come back",
    500: "Something went wrong on our side",
    502: "An outside system's answer did not come: its outcome is unknown",
    503: "Not possible just now; `Retry-After` says when to come back",
}


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class ErrorAnswer(BaseModel):
    """Every answer that is not a success."""

    success: bool = Field(default=False, description="Always false")
    error: str
    fields: list[FieldProblem] | None = Field(default=None, description="Only with status 422")


class SignInNeededError(UnauthenticatedError):
    """A page was asked for without a session: the answer is the way to the sign-in page."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: these error answers, and those every route can give."""
    return {
        status: {"model": ErrorAnswer, "description": MEANING[status]} for status in sorted({*statuses, *EVERYWHERE})
    }


def install(app: FastAPI) -> None:
    """Answer every kind of error in the one shape; what is not expected ends in api/middleware.py as a bare 500."""
    app.add_exception_handler(LabwireError, on_labwire_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(database.DataError, on_data_error)
    app.add_exception_handler(database.IntegrityError, on_integrity_error)
    for kind in (database.OperationalError, database.InterfaceError, database.TimeoutError):
        app.add_exception_handler(kind, on_database_away)


def answer(
    request: Request,
    status: int,
    message: str,
    *,
    fields: Iterable[FieldProblem] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """The error as a page where a person looks at a page, else as JSON."""
    problems = list(fields)
    if wants_page(request):
        return error_page(request, status, message, [f"{one.field}: {one.message}" for one in problems], headers)
    body = ErrorAnswer(error=message, fields=problems if status == 422 else None)
    return JSONResponse(body.model_dump(exclude_none=True), status, headers)


def status_of(error: Exception) -> int:
    """The HTTP status of one of our errors, or the database's; 500 for those a caller can do nothing about."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def on_labwire_error(request: Request, error: Exception) -> Response:
    """Our own errors, by class."""
    if not isinstance(error, LabwireError):
        raise error
    if isinstance(error, SignInNeededError):
        return sign_in_page(request)
    status = status_of(error)
    if status == 500 and not isinstance(error, DamagedError):
        raise error
    if isinstance(error, AwayError):
        log.error("%s %s: %s", request.method, route_template(request.scope), error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else dict(getattr(error, "headers", {}))
    seconds = getattr(error, "retry_after_seconds", None)
    if status in (429, 503):
        headers["Retry-After"] = str(max(1, round(seconds or DATABASE_RETRY_SECONDS)))
    name = getattr(error, "field", None) or getattr(error, "rule", None)
    fields = [FieldProblem(field=name, message=str(error))] if status == 422 and name else []
    return answer(request, status, str(error), fields=fields, headers=headers)


def on_invalid_request(request: Request, error: Exception) -> Response:
    """A body, parameter or header that does not fit its schema."""
    if not isinstance(error, RequestValidationError):
        raise error
    fields = problems_of(error.errors())
    names = ", ".join(dict.fromkeys(one.field for one in fields))
    return answer(request, 422, f"not acceptable: {names}", fields=fields)


def problems_of(found: Iterable[Any]) -> list[FieldProblem]:
    """Pydantic's complaints with the field's name as the caller wrote it, and without the value."""
    problems = []
    for one in found:
        location = [str(part) for part in one["loc"]]
        if location and location[0] in ("body", "query", "path", "header", "cookie"):
            location = location[1:] if len(location) > 1 and one["type"] != "json_invalid" else location[:1]
        message = str(one["msg"]).removeprefix("Value error, ")
        problems.append(FieldProblem(field=".".join(location) or "body", message=message))
    return problems


def form_status(error: ValidationError | LabwireError | None) -> int:
    """The status of a form shown again: 200 without an error."""
    if error is None:
        return 200
    return 422 if isinstance(error, ValidationError) else status_of(error)


def form_errors(error: ValidationError | LabwireError | None) -> dict[str, str]:
    """The complaint beside each field of a form; what concerns no single field is under an empty name."""
    if error is None:
        return {}
    if isinstance(error, ValidationError):
        return {one.field: one.message for one in problems_of(error.errors())}
    return {getattr(error, "field", None) or "": str(error)}


def on_http_error(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: no such route, wrong method, unreadable body."""
    if not isinstance(error, HTTPException):
        raise error
    message = MEANING.get(error.status_code) or HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
    return answer(request, error.status_code, message, headers=headers)


def _allowed(request: Request) -> list[str]:
    """What every route of this address takes together: the framework names the first one's methods alone."""
    path = request.scope["path"]
    found: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path and route.methods and compile_path(route.path)[0].match(path):
            found |= route.methods
    if "GET" in found and path.startswith(HEADED):
        found.add("HEAD")
    return sorted(found)


def on_data_error(request: Request, error: Exception) -> Response:
    """A value PostgreSQL cannot hold, which no schema caught: the caller's, so not a 500."""
    return answer(request, 422, "a value is outside what can be stored")


def on_integrity_error(request: Request, error: Exception) -> Response:
    """Two callers met at a unique or foreign key that no store looked after: the later one is told."""
    return answer(request, 409, MEANING[409])


def on_database_away(request: Request, error: Exception) -> Response:
    """The database does not answer: nothing was written, come back."""
    return answer(request, 503, MEANING[503], headers={"Retry-After": str(DATABASE_RETRY_SECONDS)})
