"""Signing in and out by program, one's own account, and one's own sessions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.people import signing
from api.people.answers import MeAnswer, SessionAnswer, SignInAnswer
from api.people.devices import remember
from api.security import SESSION_COOKIE, check_origin, drop_cookie, set_cookie
from models.kernel.fields import Id
from models.people.roles import PERSON
from models.people.schemas import Credentials, PasswordChange
from models.people.stores.sessions import end_session, list_sessions

router = APIRouter(tags=["sessions"])
Anybody = Annotated[Caller, Depends(may())]
Person = Annotated[Caller, Depends(may(scope=PERSON))]


@router.post("/sessions", status_code=201, responses=errors(401, 403, 409, 429))
def sign_in(request: Request, response: Response, given: Credentials) -> SignInAnswer:
    """Sign in. The cookie `labwire_session` comes with the answer; 409 when a laboratory must be named."""
    check_origin(request)
    signed_in = signing.sign_in(request, given)
    set_cookie(response, SESSION_COOKIE, signed_in.token)
    remember(request, response, signed_in.tenant_id, signed_in.user_id)
    return SignInAnswer(csrf_token=signed_in.csrf_token)


@router.delete("/sessions/current", status_code=204, responses=errors(401, 403))
def sign_out(request: Request, response: Response, caller: Person) -> None:
    """Sign out: the session of the cookie ends."""
    signing.sign_out(request)
    drop_cookie(response, SESSION_COOKIE)


@router.get("/sessions", responses=errors(401, 403))
def list_my_sessions(caller: Person) -> list[SessionAnswer]:
    """Where the caller is signed in."""
    with tenant_work(caller) as session:
        rows = list_sessions(session, caller.tenant_id, caller.user_id)
    return [
        SessionAnswer.model_validate(row).model_copy(update={"is_current": str(row.id) == caller.session_id})
        for row in rows
    ]


@router.delete("/sessions/{session_id}", status_code=204, responses=errors(401, 403, 404))
def end_my_session(session_id: Id, caller: Person) -> None:
    """End one of the caller's sessions."""
    with tenant_work(caller) as session:
        end_session(session, caller.tenant_id, caller.actor, user_id=caller.user_id, session_id=session_id)


@router.get("/me", responses=errors(401, 403))
def who_am_i(caller: Anybody) -> MeAnswer:
    """The caller as the hub sees them, and the CSRF token of their session."""
    return MeAnswer(
        user_id=caller.user_id,
        email=caller.email,
        name=caller.name,
        roles=sorted(caller.roles),
        scopes=None if caller.scopes is None else sorted(caller.scopes),
        tenant_slug=caller.tenant_slug,
        tenant_name=caller.tenant_name,
        time_zone=caller.time_zone,
        csrf_token=caller.csrf_token,
    )


@router.put("/me/password", status_code=204, responses=errors(401, 403, 409, 429))
def change_my_password(given: PasswordChange, caller: Person) -> None:
    """Set a new password; every other session of the caller ends. Wrong present ones count as failed sign-ins."""
    signing.change_password(caller, given)
