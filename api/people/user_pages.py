"""Users, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from api.deps import Caller, page, tenant_work
from api.errors import form_errors, form_status
from api.forms import Form, fill, texts
from api.render import redirect, render
from models.kernel.clock import utc_now
from models.kernel.errors import RefusedError
from models.kernel.fields import Id
from models.people.roles import ROLE_HINTS, ROLES
from models.people.schemas import UserEdit, UserIn
from models.people.stores import accounts, sessions, tokens, users

router = APIRouter(prefix="/users")
Administrator = Annotated[Caller, Depends(page("administrator"))]
ROLE_OPTIONS = [(role, label, ROLE_HINTS[role]) for role, label in ROLES.items()]


@router.get("")
def show_users(request: Request, caller: Administrator) -> Response:
    """Everybody in the laboratory."""
    with tenant_work(caller) as session:
        rows = users.list_users(session, caller.tenant_id)
    return render(request, "people/users.html", caller, users=rows, now=utc_now())


@router.get("/new")
def show_new_user(request: Request, caller: Administrator) -> Response:
    """The form for a new user."""
    return render(request, "people/user_new.html", caller, roles=ROLE_OPTIONS, errors={}, values={}, chosen=[])


@router.post("/new")
def create_user(request: Request, caller: Administrator, form: Form) -> Response:
    """Create a user and mail them a link to set a password."""
    try:
        given = fill(UserIn, form)
        with tenant_work(caller) as session:
            user = users.create_user(session, caller.tenant_id, caller.actor, given)
            accounts.mail_link(session, caller.tenant_id, caller.actor, user.id, is_invitation=True)
    except (ValidationError, RefusedError) as error:
        context = {"roles": ROLE_OPTIONS, "values": texts(form), "chosen": form.getlist("roles")}
        return render(request, "people/user_new.html", caller, form_status(error), errors=form_errors(error), **context)
    return redirect(request, f"/users/{user.id}", flash=f"{user.name} is mailed a link to set a password.")


@router.get("/{user_id}")
def show_user(request: Request, caller: Administrator, user_id: Id) -> Response:
    """One user: roles, sessions, tokens."""
    return _user(request, caller, user_id)


@router.post("/{user_id}")
def edit_user(request: Request, caller: Administrator, user_id: Id, form: Form) -> Response:
    """Change name or roles."""
    try:
        given = fill(UserEdit, form, roles=form.getlist("roles"))
        with tenant_work(caller) as session:
            users.edit_user(session, caller.tenant_id, caller.actor, user_id, given)
    except (ValidationError, RefusedError) as error:
        return _user(request, caller, user_id, error=error)
    return redirect(request, f"/users/{user_id}", flash="Saved.")


@router.post("/{user_id}/disable")
def disable_user(request: Request, caller: Administrator, user_id: Id) -> Response:
    """Let the user in no more."""
    with tenant_work(caller) as session:
        user = users.disable_user(session, caller.tenant_id, caller.actor, user_id)
    return redirect(request, f"/users/{user_id}", flash=f"{user.name} cannot sign in any more.")


@router.post("/{user_id}/enable")
def enable_user(request: Request, caller: Administrator, user_id: Id) -> Response:
    """Let a disabled or locked-out user in again."""
    with tenant_work(caller) as session:
        user = users.enable_user(session, caller.tenant_id, caller.actor, user_id)
    return redirect(request, f"/users/{user_id}", flash=f"{user.name} can sign in again.")


@router.post("/{user_id}/password-link")
def mail_link(request: Request, caller: Administrator, user_id: Id) -> Response:
    """Mail a link to set a password."""
    with tenant_work(caller) as session:
        is_sent = accounts.mail_link(session, caller.tenant_id, caller.actor, user_id)
    if is_sent:
        return redirect(request, f"/users/{user_id}", flash="A link to set a password is on its way by mail.")
    said = "No further link is mailed: the user is disabled, or has several unused links already."
    return redirect(request, f"/users/{user_id}", flash=said, level="warning")


@router.post("/{user_id}/sessions/{session_id}/end")
def end_session(request: Request, caller: Administrator, user_id: Id, session_id: Id) -> Response:
    """Sign the user out somewhere."""
    with tenant_work(caller) as session:
        sessions.end_session(session, caller.tenant_id, caller.actor, user_id=user_id, session_id=session_id)
    return redirect(request, f"/users/{user_id}", flash="That session is ended.")


@router.post("/{user_id}/tokens/{token_id}/revoke")
def revoke_token(request: Request, caller: Administrator, user_id: Id, token_id: Id) -> Response:
    """Refuse one of the user's tokens from now on."""
    with tenant_work(caller) as session:
        tokens.revoke_token(session, caller.tenant_id, caller.actor, token_id, user_id=user_id)
    return redirect(request, f"/users/{user_id}", flash="The token is revoked.")


def _user(
    request: Request, caller: Caller, user_id: int, *, error: ValidationError | RefusedError | None = None
) -> Response:
    with tenant_work(caller) as session:
        user = users.get_user(session, caller.tenant_id, user_id)
        their_sessions = sessions.list_sessions(session, caller.tenant_id, user_id)
        their_tokens = tokens.list_tokens(session, caller.tenant_id, user_id)
    return render(
        request,
        "people/user.html",
        caller,
        form_status(error),
        user=user,
        values={"name": user.name},
        sessions=their_sessions,
        tokens=their_tokens,
        roles=ROLE_OPTIONS,
        errors=form_errors(error),
        is_locked=user.locked_until is not None and user.locked_until > utc_now(),
    )
