"""Who is calling, what they may do, and the transaction they do it in."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import text
from sqlalchemy.orm import Session

from api.errors import SignInNeededError
from api.metrics import route_template
from api.security import SAFE_METHODS, SESSION_COOKIE, check_csrf, client_address, csrf_token
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from models.kernel.pipeline import Pipeline
from models.kernel.tenancy import group_pipeline, group_session, registry_session, tenant_session
from models.people.roles import PERSON, SCOPES
from models.people.rules import rights_of, scope_allows
from models.people.stores.sessions import Known, find_session
from models.people.stores.tokens import find_token

bearer = HTTPBearer(auto_error=False, description="An API token (`labwire token create`, or the account page)")
cookie = APIKeyCookie(
    name=SESSION_COOKIE,
    auto_error=False,
    description="A signed-in person. Requests that change something also need the header `X-CSRF-Token`, "
    "whose value `GET /api/v1/me` and the sign-in tell.",
)


BY_ITSELF = "seen"
"""The parameter of a page that keeps itself new: it says what the page has. Such asking keeps no session alive."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody we know. `scopes` is None for a signed-in person, who has all of the roles' rights.

    An instrument that pushes is one too: its `user_id` is 0, and it has no roles.
    """

    tenant_id: int
    tenant_slug: str
    tenant_name: str
    time_zone: str
    user_id: int
    email: str
    name: str
    roles: frozenset[str]
    scopes: frozenset[str] | None
    equipment_id: int | None
    session_id: str | None
    ip_address: str | None
    csrf_token: str

    @property
    def actor(self) -> Actor:
        """The caller as the audit trail names them; a token's use names the token where a session would stand."""
        if self.user_id == 0:
            return Actor("instrument", str(self.equipment_id), self.name, self.ip_address, self.session_id)
        return Actor("user", str(self.user_id), self.email, self.ip_address, self.session_id)

    def has(self, *roles: str) -> bool:
        """Whether the caller has one of the roles, implied ones included; without arguments: True."""
        return not roles or not rights_of(self.roles).isdisjoint(roles)


class Acting(Protocol):
    """Whoever acts in a tenant: a caller, or the bearer of an address that lets see."""

    @property
    def tenant_id(self) -> int:
        """The tenant."""

    @property
    def actor(self) -> Actor:
        """As the audit trail names them."""


def identify(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    session_token: Annotated[str | None, Security(cookie)],
) -> Caller | None:
    """The caller behind a token or a session cookie; None when there is neither. A bad token never falls back."""
    if credentials is None and "authorization" in request.headers:
        raise UnauthenticatedError("only `Authorization: Bearer` is understood")
    if credentials is not None:
        with group_pipeline() as pipeline:
            return known_by_token(request, pipeline, credentials.credentials)
    return _from_cookie(request, session_token)


def identify_person(request: Request, session_token: Annotated[str | None, Security(cookie)]) -> Caller | None:
    """The person signed in by the cookie: all that a page knows."""
    return _from_cookie(request, session_token)


def may(*roles: str, scope: str | None = None) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller has one of `roles` (none given: any role) and, as a token, the scope.

    Without a scope, reading needs `read` and anything else `write`; PERSON lets no token through.
    401 without credentials, 403 (audited) otherwise; a cookie alone changes nothing without its CSRF token.
    """
    if scope is not None and scope != PERSON and scope not in SCOPES:
        raise ValueError(f"scope {scope} is not in models.people.roles.SCOPES")

    async def allowed(request: Request, caller: Annotated[Caller | None, Depends(identify)]) -> Caller:
        if caller is None:
            raise UnauthenticatedError("sign in, or send a token")
        needed = scope or ("read" if request.method in SAFE_METHODS else "write")
        if not is_allowed(caller, roles, needed):
            await run_in_threadpool(note_refusal, request, caller)
            raise refusal(caller, roles, needed)
        await _check_own_page(request, caller)
        return caller

    return allowed


def is_allowed(caller: Caller, roles: Sequence[str], scope: str) -> bool:
    """Whether the caller has one of the roles and, as a token, the scope."""
    return caller.has(*roles) and scope_allows(caller.scopes, scope)


def refusal(caller: Caller, roles: Sequence[str], scope: str) -> ForbiddenError:
    """What is said to somebody who is not allowed."""
    what = "a signed-in person" if scope == PERSON and caller.scopes is not None else "the right to do this"
    return ForbiddenError(f"this needs {what}" + (f" ({' or '.join(roles)})" if roles else ""))


def known_by_token(request: Request, pipeline: Pipeline, token: str) -> Caller:
    """The bearer of a token, in a transaction without a tenant that goes on in theirs; UnauthenticatedError."""
    known = find_token(pipeline, token)
    if known is None:
        raise UnauthenticatedError("the token is unknown, expired or revoked")
    return _caller(request, known, csrf="")


def page(*roles: str) -> Callable[..., Awaitable[Caller]]:
    """The same for pages: without a session the answer is the sign-in page, with the wrong role a page that says so."""

    async def allowed(request: Request, caller: Annotated[Caller | None, Depends(identify_person)]) -> Caller:
        if caller is None:
            raise SignInNeededError("sign in")
        await _check_own_page(request, caller)
        if not caller.has(*roles):
            await run_in_threadpool(note_refusal, request, caller)
            raise ForbiddenError("your roles do not include this page")
        return caller

    return allowed


@contextmanager
def tenant_work(caller: Acting) -> Iterator[Session]:
    """One transaction in the caller's tenant, committed at the end of the block: answer after it, never inside it.

    NotFoundError passes through; when the id exists in another tenant, the attempt is audited first.
    """
    try:
        with tenant_session(caller.tenant_id) as session:
            yield session
    except NotFoundError as error:
        if error.resource is not None and error.resource_id is not None:
            note_foreign(caller, error.resource, error.resource_id)
        raise


def not_here(caller: Acting, resource: str, resource_id: int) -> None:
    """Raise NotFoundError for a row the caller's tenant does not have, auditing it when another tenant has it."""
    note_foreign(caller, resource, resource_id)
    raise NotFoundError(f"no {resource} {resource_id}", resource=resource, resource_id=resource_id)


def note_foreign(caller: Acting, resource: str, resource_id: int) -> None:
    """Audit, in the caller's tenant, that they asked for another tenant's row."""
    with registry_session() as session:
        exists = session.scalar(
            text("SELECT registry_exists(:resource, :id)"), {"resource": resource, "id": resource_id}
        )
    if exists:
        with tenant_session(caller.tenant_id) as session:
            action = Action("access.refused", resource, resource_id, {"reason": "not of this tenant"})
            record(session, caller.tenant_id, caller.actor, action)


async def _check_own_page(request: Request, caller: Caller) -> None:
    if caller.csrf_token and request.method not in SAFE_METHODS:
        await check_csrf(request, caller.csrf_token)


def _from_cookie(request: Request, session_token: str | None) -> Caller | None:
    if not session_token:
        return None
    with group_session() as session:
        known = find_session(session, session_token, is_seen=BY_ITSELF not in request.query_params)
    if known is None:
        return None
    return _caller(request, known, csrf=csrf_token(session_token))


def _caller(request: Request, known: Known, *, csrf: str) -> Caller:
    session_id = str(known.session_id) if known.session_id is not None else f"token:{known.token_id}"
    caller = Caller(
        tenant_id=known.tenant_id,
        tenant_slug=known.tenant_slug,
        tenant_name=known.tenant_name,
        time_zone=known.time_zone,
        user_id=known.user_id,
        email=known.email,
        name=known.name,
        roles=known.roles,
        scopes=known.scopes,
        equipment_id=known.equipment_id,
        session_id=session_id,
        ip_address=client_address(request),
        csrf_token=csrf,
    )
    request.state.caller = caller
    return caller


def note_refusal(request: Request, caller: Acting) -> None:
    """Audit that somebody we know asked for what their roles or scopes do not allow."""
    route = route_template(request.scope)
    with tenant_session(caller.tenant_id) as session:
        changes = {"method": request.method, "reason": "role or scope"}
        record(session, caller.tenant_id, caller.actor, Action("access.refused", "route", route, changes))
