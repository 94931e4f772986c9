"""One's own account: password, sessions, API tokens."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from api.deps import Caller, page, tenant_work
from api.errors import form_errors, form_status
from api.forms import Form, fill, texts
from api.people import signing
from api.render import redirect, render
from models.kernel.errors import InvalidError, RefusedError
from models.kernel.fields import Id
from models.people.roles import GRANTABLE, ROLES
from models.people.schemas import PasswordChange, TokenIn
from models.people.stores import sessions, tokens

router = APIRouter()
Anybody = Annotated[Caller, Depends(page())]
Problem = ValidationError | RefusedError | None


@router.get("/account")
def show_account(request: Request, caller: Anybody) -> Response:
    """Who I am here, where I am signed in, and my tokens."""
    return _account(request, caller)


@router.post("/account/password")
def change_password(request: Request, caller: Anybody, form: Form) -> Response:
    """Set a new password; my other sessions end."""
    try:
        given = fill(PasswordChange, form)
        if form.get("password") != form.get("password_again"):
            raise InvalidError("is not the same as the first", field="password_again")
        signing.change_password(caller, given)
    except (ValidationError, RefusedError) as error:
        return _account(request, caller, password_error=error)
    return redirect(request, "/account", flash="Your password is changed; you are signed out everywhere else.")


@router.post("/account/sessions/{session_id}/end")
def end_session(request: Request, caller: Anybody, session_id: Id) -> Response:
    """Sign myself out somewhere else."""
    with tenant_work(caller) as session:
        sessions.end_session(session, caller.tenant_id, caller.actor, user_id=caller.user_id, session_id=session_id)
    return redirect(request, "/account", flash="That session is ended.")


@router.post("/account/tokens")
def create_token(request: Request, caller: Anybody, form: Form) -> Response:
    """A new API token, shown on this page and never again."""
    try:
        given = fill(TokenIn, form)
        with tenant_work(caller) as session:
            _, token = tokens.issue_token(session, caller.tenant_id, caller.actor, caller.user_id, given)
    except (ValidationError, RefusedError) as error:
        return _account(request, caller, token_error=error, form=form)
    return _account(request, caller, new_token=token)


@router.post("/account/tokens/{token_id}/revoke")
def revoke_token(request: Request, caller: Anybody, token_id: Id) -> Response:
    """Refuse one of my tokens from now on."""
    with tenant_work(caller) as session:
        tokens.revoke_token(session, caller.tenant_id, caller.actor, token_id, user_id=caller.user_id)
    return redirect(request, "/account", flash="The token is revoked.")


def _account(
    request: Request,
    caller: Caller,
    *,
    password_error: Problem = None,
    token_error: Problem = None,
    form: Form | None = None,
    new_token: str = "",
) -> Response:
    with tenant_work(caller) as session:
        my_sessions = sessions.list_sessions(session, caller.tenant_id, caller.user_id)
        my_tokens = tokens.list_tokens(session, caller.tenant_id, caller.user_id)
    return render(
        request,
        "people/account.html",
        caller,
        form_status(password_error or token_error),
        roles=[ROLES.get(role, role) for role in sorted(caller.roles)],
        sessions=my_sessions,
        tokens=my_tokens,
        scopes=[(name, name, hint) for name, hint in GRANTABLE.items()],
        chosen=form.getlist("scopes") if form else ["read"],
        values=texts(form) if form else {"expires_in_days": 90},
        password_errors=form_errors(password_error),
        token_errors=form_errors(token_error),
        new_token=new_token,
    )
