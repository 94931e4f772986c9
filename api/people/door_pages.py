"""The pages through which people come in: signing in and out, and where to go from there."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError

from api.deps import Caller, identify_person, page
from api.errors import form_errors, form_status
from api.forms import Form, fill, text, texts
from api.people import signing
from api.people.devices import remember
from api.render import first_page, redirect, render
from api.security import SESSION_COOKIE, check_guest_form, drop_cookie, safe_next, set_cookie
from models.kernel.errors import RefusedError
from models.people.schemas import Credentials

router = APIRouter()
Anybody = Annotated[Caller, Depends(page())]


@router.get("/")
def start(request: Request, caller: Anybody) -> Response:
    """The first page the caller's roles offer; the work list for most."""
    return redirect(request, first_page(request, caller))


@router.get("/login")
def show_login(
    request: Request,
    caller: Annotated[Caller | None, Depends(identify_person)],
    next_page: Annotated[str, Query(alias="next")] = "/",
) -> Response:
    """The sign-in form; somebody already signed in goes on."""
    if caller is not None:
        return redirect(request, safe_next(next_page))
    return _login_form(request, next_page=safe_next(next_page))


@router.post("/login", dependencies=[Depends(check_guest_form)])
def log_in(request: Request, form: Form) -> Response:
    """Sign in and go on to the page that was asked for, on this site only."""
    target = safe_next(text(form, "next"))
    try:
        signed_in = signing.sign_in(request, fill(Credentials, form))
    except (ValidationError, RefusedError) as error:
        laboratories = error.laboratories if isinstance(error, signing.SeveralLaboratoriesError) else []
        return _login_form(request, next_page=target, error=error, values=texts(form), laboratories=laboratories)
    response = redirect(request, target)
    set_cookie(response, SESSION_COOKIE, signed_in.token)
    remember(request, response, signed_in.tenant_id, signed_in.user_id)
    return response


@router.post("/logout")
def log_out(request: Request, caller: Anybody) -> Response:
    """Sign out."""
    signing.sign_out(request)
    response = redirect(request, "/login", flash="You are signed out.")
    drop_cookie(response, SESSION_COOKIE)
    return response


def _login_form(
    request: Request,
    *,
    next_page: str,
    error: ValidationError | RefusedError | None = None,
    values: dict[str, str] | None = None,
    laboratories: Sequence[str] = (),
) -> Response:
    return render(
        request,
        "people/login.html",
        None,
        form_status(error),
        next=next_page,
        errors=form_errors(error),
        values=values or {},
        laboratories=[(slug, slug) for slug in laboratories],
    )
