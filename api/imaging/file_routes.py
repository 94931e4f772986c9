"""An image's file: by its signed address until that expires, or for whoever may look at images."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials

from api.deps import bearer, cookie, tenant_work
from api.errors import errors
from api.imaging.damage import wherever_it_lies
from api.imaging.file_serving import serve
from api.imaging.noting import NOTED, note_looks
from api.imaging.viewing import View, look
from api.security import client_address
from models.imaging.ports import DICOM, JPEG, PNG
from models.imaging.stores import grants, studies
from models.imaging.tickets import LONGEST, has_expired, read_file_token
from models.kernel.audit import Actor
from models.kernel.errors import UnauthenticatedError
from models.kernel.fields import Id
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session

CLOSED = "the image's address has expired or is not ours"
KINDS = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in (DICOM, JPEG, PNG)}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file as it was stored; `ETag` is its SHA-256", "content": KINDS},
    206: {"description": "The range that was asked for", "content": KINDS},
    304: {"description": "The asker has it (`If-None-Match`)"},
    **errors(401, 403, 404, 416),
}

router = APIRouter(prefix="/images", tags=["imaging"])


def look_at_file(
    image_id: Id,
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    session_token: Annotated[str | None, Security(cookie)],
    token: Annotated[str | None, Query(max_length=LONGEST, description="Of the signed address")] = None,
) -> View:
    """By the address's token, which is good for this image alone; without one as everywhere."""
    if token is None:
        return look(request, credentials, session_token)
    ticket = read_file_token(token) if settings().radiology_signed_urls else None
    if ticket is None or ticket.image_id != image_id or has_expired(ticket):
        raise UnauthenticatedError(CLOSED)
    with tenant_session(ticket.tenant_id) as session:
        found = grants.find_looker(session, ticket.tenant_id, user_id=ticket.user_id, image_id=image_id)
        if found is None or grants.unseen_because(found.tenant, found.user, found.study):
            raise UnauthenticatedError(CLOSED)
    user, tenant = found.user, found.tenant
    return View(
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        time_zone=tenant.time_zone,
        user_id=user.id,
        actor=Actor("user", str(user.id), user.email, client_address(request), "image-url"),
        seen=grants.seen_by(user, found.study.study_uid),
    )


@router.head("/{image_id}/file", include_in_schema=False)
@router.get("/{image_id}/file", response_class=Response, responses=ANSWERS)
def get_image_file(image_id: Id, request: Request, view: Annotated[View, Depends(look_at_file)]) -> Response:
    """The image's file exactly as it was stored, or a range of it. Its SHA-256 is checked on the way.

    500: the stored file is corrupt or missing; of a large one that may show at its end, and the connection breaks. A
    range goes out only after the whole file was found right, now or in the last three minutes.
    """
    with tenant_work(view) as session:
        row = studies.get_image(session, view.tenant_id, image_id, view.seen)
        marks = note_looks(session, view, (row.study,))
    NOTED.remember(marks)
    return wherever_it_lies(view.tenant_id, row.image, lambda image: serve(request, view, image))
