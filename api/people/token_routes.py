"""One's own API tokens, and setting a password by a mailed link."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.people.answers import NewTokenAnswer, TokenAnswer
from api.people.links import ask_for_link, evenly, use_link
from api.security import check_origin
from models.kernel.fields import Id
from models.people.roles import PERSON
from models.people.schemas import ResetIn, ResetRequest, TokenIn
from models.people.stores import tokens

router = APIRouter()
Person = Annotated[Caller, Depends(may(scope=PERSON))]


@router.get("/tokens", tags=["tokens"], responses=errors(401, 403))
def list_my_tokens(caller: Person) -> list[TokenAnswer]:
    """The caller's API tokens, those that have expired included."""
    with tenant_work(caller) as session:
        rows = tokens.list_tokens(session, caller.tenant_id, caller.user_id)
        return [TokenAnswer.model_validate(row) for row in rows]


@router.post("/tokens", tags=["tokens"], status_code=201, responses=errors(401, 403))
def create_my_token(given: TokenIn, caller: Person) -> NewTokenAnswer:
    """A new API token, shown in this answer and never again. It can do no more than the caller's roles."""
    with tenant_work(caller) as session:
        row, text = tokens.issue_token(session, caller.tenant_id, caller.actor, caller.user_id, given)
        answer = TokenAnswer.model_validate(row)
    return NewTokenAnswer(**answer.model_dump(), token=text)


@router.delete("/tokens/{token_id}", tags=["tokens"], status_code=204, responses=errors(401, 403, 404))
def revoke_my_token(token_id: Id, caller: Person) -> None:
    """Refuse one of the caller's tokens from now on."""
    with tenant_work(caller) as session:
        tokens.revoke_token(session, caller.tenant_id, caller.actor, token_id, user_id=caller.user_id)


@router.post("/password-links", tags=["sessions"], status_code=202, responses=errors(403))
async def ask_for_password_link(request: Request, given: ResetRequest) -> None:
    """Have a one-time link mailed. The answer is the same, and takes as long, whether the address is known or not."""
    check_origin(request)
    await evenly(ask_for_link, request, given.email)


@router.post("/password-links/use", tags=["sessions"], status_code=204, responses=errors(403, 404, 429))
def use_password_link(request: Request, given: ResetIn) -> None:
    """Set a password by the token of a mailed link, once. Every session of the user ends."""
    check_origin(request)
    use_link(request, given.token, given.password.get_secret_value())
