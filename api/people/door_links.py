"""The pages for a forgotten password."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import ValidationError

from api.errors import form_errors, form_status
from api.forms import Form, fill, texts
from api.people.links import ask_for_link, evenly, use_link, whose_link
from api.render import redirect, render
from api.security import check_guest_form
from models.kernel.errors import InvalidError, NotFoundError, RefusedError
from models.people.schemas import ResetIn, ResetRequest

router = APIRouter()
Token = Annotated[str, Path(max_length=200)]


@router.get("/forgot")
def show_forgot(request: Request) -> Response:
    """The form that asks for a link."""
    return render(request, "people/forgot.html", None, errors={}, values={}, is_sent=False)


@router.post("/forgot", dependencies=[Depends(check_guest_form)])
async def ask_link(request: Request, form: Form) -> Response:
    """Have a link mailed; the page says the same whether the address is known or not."""
    try:
        given = fill(ResetRequest, form)
    except ValidationError as error:
        errors = form_errors(error)
        return render(request, "people/forgot.html", None, 422, errors=errors, values=texts(form), is_sent=False)
    await evenly(ask_for_link, request, given.email)
    return render(request, "people/forgot.html", None, errors={}, values={}, is_sent=True)


@router.get("/reset/{token}")
def show_reset(request: Request, token: Token) -> Response:
    """The form to set a password; looking at it does not use the link up."""
    try:
        return _reset_form(request, token, email=whose_link(token))
    except NotFoundError as error:
        return _used_up(request, error)


@router.post("/reset/{token}", dependencies=[Depends(check_guest_form)])
def set_by_link(request: Request, token: Token, form: Form) -> Response:
    """Set the password, once, and go on to sign in."""
    try:
        email = whose_link(token)
    except NotFoundError as error:
        return _used_up(request, error)
    try:
        given = fill(ResetIn, form, token=token)
        if form.get("password") != form.get("password_again"):
            raise InvalidError("is not the same as the first", field="password_again")
        use_link(request, token, given.password.get_secret_value())
    except NotFoundError as error:
        return _used_up(request, error)
    except (ValidationError, RefusedError) as error:
        return _reset_form(request, token, email=email, error=error)
    return redirect(request, "/login", flash="Your password is set. Sign in with it.")


def _reset_form(
    request: Request, token: str, *, email: str, error: ValidationError | RefusedError | None = None
) -> Response:
    errors = form_errors(error)
    return render(request, "people/reset.html", None, form_status(error), token=token, email=email, errors=errors)


def _used_up(request: Request, error: NotFoundError) -> Response:
    return render(request, "people/reset_used.html", None, 404, message=str(error))
