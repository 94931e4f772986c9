"""Signing in and out, for pages and programs alike: each step commits before the next, so that every guess counts."""

from dataclasses import dataclass

from fastapi import Request

from api.deps import Caller, identify_person
from api.metrics import LOGINS
from api.people.devices import is_known
from api.security import SESSION_COOKIE, client_address, csrf_token
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, InvalidError, NotFoundError, UnauthenticatedError
from models.kernel.settings import settings
from models.kernel.tenancy import registry_session, tenant_session
from models.people.passwords import hash_password, is_outdated, is_password
from models.people.rules import refuse_weak_password
from models.people.schemas import Credentials, PasswordChange
from models.people.stores import logins
from models.people.stores.accounts import refuse_same, set_password
from models.people.stores.sessions import end_session, start_session


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session just begun: the cookie's token, and what forms must send beside it."""

    token: str
    csrf_token: str
    tenant_id: int
    user_id: int


class SeveralLaboratoriesError(ConflictError):
    """Address and password fit in several laboratories; `laboratories` are their short names."""

    def __init__(self, laboratories: list[str]) -> None:
        super().__init__("this address signs in to several laboratories; choose one", field="laboratory")
        self.laboratories = laboratories


def sign_in(request: Request, given: Credentials) -> SignedIn:
    """A new session for the right password; the one the browser came with is ended.

    UnauthenticatedError says the same for a wrong password, an unknown address, a disabled and a locked user,
    after the same amount of work. SeveralLaboratoriesError when a choice is needed.
    """
    password = given.password.get_secret_value()
    with registry_session() as session:
        found = logins.candidates(session, given.email, given.laboratory)
    right, wrong = _try_each(request, found, password)
    if not right:
        _note_failures(request, wrong)
        LOGINS.labels("refused").inc()
        minutes, most = settings().login_lock_minutes, settings().login_attempts
        raise UnauthenticatedError(
            "The e-mail address or the password is not right. "
            f"After {most} wrong attempts an account is locked for {minutes:g} minutes."
        )
    for attempt in wrong if len(right) == 1 else [*wrong, *right]:
        with tenant_session(attempt.candidate.tenant_id) as session:
            logins.withdraw(session, attempt)
    if len(right) > 1:
        raise SeveralLaboratoriesError([attempt.candidate.tenant_slug for attempt in right])
    return _begin(request, right[0], password)


def sign_out(request: Request) -> None:
    """End the session the browser came with, if it still is one."""
    caller = identify_person(request, request.cookies.get(SESSION_COOKIE))
    if caller is None or caller.session_id is None:
        return
    try:
        with tenant_session(caller.tenant_id) as session:
            end_session(
                session, caller.tenant_id, caller.actor, user_id=caller.user_id, session_id=int(caller.session_id)
            )
    except NotFoundError:
        return  # ended by somebody else in the meantime


def change_password(caller: Caller, given: PasswordChange) -> None:
    """Set the caller's own password; InvalidError names what is wrong. Wrong present ones count as failed sign-ins."""
    present, wanted = given.present.get_secret_value(), given.password.get_secret_value()
    refuse_weak_password(wanted, email=caller.email)
    refuse_same(present, wanted)
    with tenant_session(caller.tenant_id) as session:
        attempt = logins.reserve(session, logins.Candidate(caller.tenant_id, caller.tenant_slug, caller.user_id))
    if attempt is None or not is_password(present, attempt.password_hash):
        if attempt is not None:
            with tenant_session(caller.tenant_id) as session:
                logins.settle_failure(session, attempt, caller.actor)
        raise InvalidError("is not right, or was tried too often", field="present")
    new_hash = hash_password(wanted)
    with tenant_session(caller.tenant_id) as session:
        set_password(
            session,
            caller.tenant_id,
            caller.actor,
            caller.user_id,
            password_hash=new_hash,
            but=int(caller.session_id or 0),
        )


def _try_each(
    request: Request, found: list[logins.Candidate], password: str
) -> tuple[list[logins.Attempt], list[logins.Attempt]]:
    """The attempts whose password was right, and those whose was wrong; at least one hash is always computed."""
    right: list[logins.Attempt] = []
    wrong: list[logins.Attempt] = []
    for candidate in found:
        with tenant_session(candidate.tenant_id) as session:
            known = is_known(request, candidate.tenant_id, candidate.user_id)
            attempt = logins.reserve(session, candidate, is_known=known)
        fits = is_password(password, attempt.password_hash if attempt else None)
        if attempt is not None:
            (right if fits else wrong).append(attempt)
    if not found:
        is_password(password, None)
    return right, wrong


def _note_failures(request: Request, wrong: list[logins.Attempt]) -> None:
    for attempt in wrong:
        with tenant_session(attempt.candidate.tenant_id) as session:
            logins.settle_failure(session, attempt, _actor(request, attempt))


def _begin(request: Request, attempt: logins.Attempt, password: str) -> SignedIn:
    sign_out(request)
    outdated = attempt.password_hash is not None and is_outdated(attempt.password_hash)
    new_hash = hash_password(password) if outdated else None
    tenant_id, user_id = attempt.candidate.tenant_id, attempt.candidate.user_id
    with tenant_session(tenant_id) as session:
        logins.settle_success(session, attempt, new_hash=new_hash)
        row, token = start_session(
            session,
            tenant_id,
            user_id,
            ip_address=client_address(request),
            user_agent=request.headers.get("user-agent"),
        )
        actor = _actor(request, attempt, session_id=str(row.id))
        record(session, tenant_id, actor, Action("session.start", "user", user_id, {"session": row.id}))
    LOGINS.labels("accepted").inc()
    return SignedIn(token, csrf_token(token), tenant_id, user_id)


def _actor(request: Request, attempt: logins.Attempt, session_id: str | None = None) -> Actor:
    return Actor("user", str(attempt.candidate.user_id), attempt.email, client_address(request), session_id)
