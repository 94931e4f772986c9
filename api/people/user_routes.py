"""Users, for administrators: roles, disabling, links, and other people's sessions and tokens."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.people.answers import SessionAnswer, TokenAnswer, UserAnswer
from models.kernel.fields import Id
from models.people.schemas import UserEdit, UserIn
from models.people.stores import accounts, sessions, tokens, users

router = APIRouter(prefix="/users", tags=["users"])
Reader = Annotated[Caller, Depends(may("administrator", scope="people:read"))]
Writer = Annotated[Caller, Depends(may("administrator", scope="people:write"))]


@router.get("", responses=errors(401, 403))
def list_users(caller: Reader) -> list[UserAnswer]:
    """Everybody in the laboratory."""
    with tenant_work(caller) as session:
        return [UserAnswer.model_validate(row) for row in users.list_users(session, caller.tenant_id)]


@router.post("", status_code=201, responses=errors(401, 403, 409))
def create_user(given: UserIn, caller: Writer) -> UserAnswer:
    """A new user, who is mailed a link to set a password."""
    with tenant_work(caller) as session:
        user = users.create_user(session, caller.tenant_id, caller.actor, given)
        accounts.mail_link(session, caller.tenant_id, caller.actor, user.id, is_invitation=True)
        return UserAnswer.model_validate(user)


@router.get("/{user_id}", responses=errors(401, 403, 404))
def get_user(user_id: Id, caller: Reader) -> UserAnswer:
    """One user."""
    with tenant_work(caller) as session:
        return UserAnswer.model_validate(users.get_user(session, caller.tenant_id, user_id))


@router.patch("/{user_id}", responses=errors(401, 403, 404, 409))
def edit_user(user_id: Id, given: UserEdit, caller: Writer) -> UserAnswer:
    """Change name or roles, from the user's next request on. The last administrator keeps that role (409)."""
    with tenant_work(caller) as session:
        return UserAnswer.model_validate(users.edit_user(session, caller.tenant_id, caller.actor, user_id, given))


@router.post("/{user_id}/disable", responses=errors(401, 403, 404, 409))
def disable_user(user_id: Id, caller: Writer) -> UserAnswer:
    """Let the user in no more: sessions end and tokens are refused at once."""
    with tenant_work(caller) as session:
        return UserAnswer.model_validate(users.disable_user(session, caller.tenant_id, caller.actor, user_id))


@router.post("/{user_id}/enable", responses=errors(401, 403, 404))
def enable_user(user_id: Id, caller: Writer) -> UserAnswer:
    """Let a disabled or locked-out user in again."""
    with tenant_work(caller) as session:
        return UserAnswer.model_validate(users.enable_user(session, caller.tenant_id, caller.actor, user_id))


@router.post("/{user_id}/password-link", status_code=202, responses=errors(401, 403, 404))
def mail_password_link(user_id: Id, caller: Writer) -> None:
    """Mail the user a one-time link to set a password."""
    with tenant_work(caller) as session:
        accounts.mail_link(session, caller.tenant_id, caller.actor, user_id)


@router.get("/{user_id}/sessions", responses=errors(401, 403, 404))
def list_user_sessions(user_id: Id, caller: Reader) -> list[SessionAnswer]:
    """Where a user is signed in."""
    with tenant_work(caller) as session:
        users.get_user(session, caller.tenant_id, user_id)
        rows = sessions.list_sessions(session, caller.tenant_id, user_id)
        return [SessionAnswer.model_validate(row) for row in rows]


@router.delete("/{user_id}/sessions/{session_id}", status_code=204, responses=errors(401, 403, 404))
def end_user_session(user_id: Id, session_id: Id, caller: Writer) -> None:
    """Sign a user out somewhere."""
    with tenant_work(caller) as session:
        sessions.end_session(session, caller.tenant_id, caller.actor, user_id=user_id, session_id=session_id)


@router.get("/{user_id}/tokens", responses=errors(401, 403, 404))
def list_user_tokens(user_id: Id, caller: Reader) -> list[TokenAnswer]:
    """A user's API tokens."""
    with tenant_work(caller) as session:
        users.get_user(session, caller.tenant_id, user_id)
        return [TokenAnswer.model_validate(row) for row in tokens.list_tokens(session, caller.tenant_id, user_id)]


@router.delete("/{user_id}/tokens/{token_id}", status_code=204, responses=errors(401, 403, 404))
def revoke_user_token(user_id: Id, token_id: Id, caller: Writer) -> None:
    """Refuse a user's token from now on."""
    with tenant_work(caller) as session:
        tokens.revoke_token(session, caller.tenant_id, caller.actor, token_id, user_id=user_id)
