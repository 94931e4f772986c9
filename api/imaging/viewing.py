"""Who looks at images: somebody signed in, a program with its token, or the bearer of a viewer's address."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials
from sqlalchemy.orm import Session

from api.deps import bearer, cookie, identify, note_refusal
from api.imaging.access import sees_unassigned
from api.imaging.usage import Due, Usage
from api.security import client_address
from models.imaging.stores import grants
from models.imaging.stores.studies import Seen, note_study_read
from models.imaging.tables import RadiologyStudy
from models.imaging.tickets import VIEWER_PREFIX, ViewerTicket, has_expired, read_viewer_token
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ForbiddenError, UnauthenticatedError
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from models.people.roles import RADIOLOGY
from models.people.rules import scope_allows

READS = frozenset({"GET", "HEAD"})
CLOSED = "the viewer's address has expired or was revoked"
OPENING_PATH = "/dicom-web/studies"
OPENING_PARAMETERS = ("StudyInstanceUID", "0020000D")
"""OHIF asks for its study by this search once, when it is opened."""

usage = Usage()


@dataclass(frozen=True, slots=True)
class View:
    """Who looks, in which tenant, and what they may see. `grant_id` is the viewer's address they look by, if any."""

    tenant_id: int
    tenant_slug: str
    time_zone: str
    user_id: int
    actor: Actor
    seen: Seen
    grant_id: int | None = None


def look(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    session_token: Annotated[str | None, Security(cookie)],
) -> View:
    """The dependency: a doctor or radiology technician, a token with `imaging:read`, or a viewer's token (`lwv_...`).

    401 without any; 403 (audited) for another role or scope, and for anything but GET and HEAD. A viewer's token opens
    its one study: what is not of it is not found, and searches answer with it alone.
    """
    if credentials is not None and credentials.credentials.startswith(VIEWER_PREFIX):
        return view_of_token(request, credentials.credentials, is_opening=_is_opening(request))
    caller = identify(request, credentials, session_token)
    if caller is None:
        raise UnauthenticatedError("sign in, or send a token")
    is_allowed = caller.has(*RADIOLOGY) and scope_allows(caller.scopes, "imaging:read")
    if not is_allowed or request.method not in READS:
        note_refusal(request, caller)
        raise ForbiddenError(f"this needs the right to do this ({' or '.join(RADIOLOGY)})")
    return View(
        tenant_id=caller.tenant_id,
        tenant_slug=caller.tenant_slug,
        time_zone=caller.time_zone,
        user_id=caller.user_id,
        actor=caller.actor,
        seen=Seen(sees_unassigned(caller)),
    )


Viewing = Annotated[View, Depends(look)]


def view_of_token(request: Request, token: str, *, is_opening: bool = False) -> View:
    """What the bearer of a viewer's token may see; UnauthenticatedError where it opens nothing (any more).

    `is_opening` is for the page that is opened by it: one more opening is counted.
    """
    ticket = read_viewer_token(token) if settings().radiology_signed_urls else None
    if ticket is None or has_expired(ticket):
        raise UnauthenticatedError(CLOSED)
    key, due = (ticket.tenant_id, ticket.grant_id), None
    with tenant_session(ticket.tenant_id) as session:
        granted = grants.find_grant(session, ticket.tenant_id, ticket.grant_id)
        if granted is None:
            raise UnauthenticatedError(CLOSED)
        view = _view(request, ticket, granted)
        reason = grants.closed_because(granted) or ("" if request.method in READS else "method")
        if not reason:
            due = usage.note(key, is_opening=is_opening)
        elif usage.is_to_be_told(key):
            changes = {"method": request.method, "reason": reason}
            action = Action("access.refused", "viewer_grant", ticket.grant_id, changes)
            record(session, ticket.tenant_id, view.actor, action)
    if due is not None:
        _write(view, granted.study, due)
    if reason == "method":
        raise ForbiddenError("a viewer's address is for reading")
    if reason:
        raise UnauthenticatedError(CLOSED)
    return view


def write_uses(tenant_id: int, grant_ids: list[int]) -> None:
    """Write what this process has counted of these grants and not written yet."""
    for grant_id in grant_ids:
        due = usage.take((tenant_id, grant_id))
        if due is not None:
            with tenant_session(tenant_id) as session:
                _count(session, tenant_id, grant_id, due)


def _view(request: Request, ticket: ViewerTicket, granted: grants.Granted) -> View:
    user, tenant = granted.user, granted.tenant
    session_id = f"viewer:{ticket.grant_id}"
    return View(
        tenant_id=ticket.tenant_id,
        tenant_slug=tenant.slug,
        time_zone=tenant.time_zone,
        user_id=user.id,
        actor=Actor("user", str(user.id), user.email, client_address(request), session_id),
        seen=grants.seen_by(user, granted.study.study_uid),
        grant_id=ticket.grant_id,
    )


def _write(view: View, study: RadiologyStudy, due: Due) -> None:
    if view.grant_id is None:
        return
    try:
        with tenant_session(view.tenant_id) as session:
            if due.is_first or due.openings:
                note_study_read(session, view.tenant_id, view.actor, study)
            _count(session, view.tenant_id, view.grant_id, due)
    except BaseException:
        usage.give_back((view.tenant_id, view.grant_id), due)
        raise


def _count(session: Session, tenant_id: int, grant_id: int, due: Due) -> None:
    if not grants.count_use(session, tenant_id, grant_id, requests=due.requests, openings=due.openings):
        usage.give_back((tenant_id, grant_id), Due(due.requests, due.openings, is_first=False))


def _is_opening(request: Request) -> bool:
    is_search = request.url.path.rstrip("/") == OPENING_PATH
    return is_search and any(name in request.query_params for name in OPENING_PARAMETERS)
