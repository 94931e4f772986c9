"""Addresses of images and viewers: signed and expiring, or plain ones that ask for a sign-in."""

from sqlalchemy.orm import Session

from api.deps import Caller
from api.imaging.viewer_links import viewer_url
from models.imaging.stores.grants import grant_viewing
from models.imaging.tables import RadiologyImage, RadiologyStudy, ViewerGrant
from models.imaging.tickets import FileTicket, ViewerTicket, file_token, viewer_token
from models.kernel.clock import utc_now
from models.kernel.settings import settings
from tasks.clients.storage.backends import storage_for


def seconds_of(wanted: int | None) -> int:
    """How long an address lets its bearer in: as asked for, at most LABWIRE_RADIOLOGY_URL_SECONDS."""
    most = settings().radiology_url_seconds
    return most if wanted is None else min(wanted, most)


def image_url(caller: Caller, image: RadiologyImage, seconds: int) -> str:
    """Where the image's file is fetched: of the store itself where that signs addresses, else of this API."""
    address = f"{settings().base_url}/api/v1/radiology/images/{image.id}/file"
    if not settings().radiology_signed_urls:
        return address
    storage = storage_for(image.backend, caller.tenant_slug)
    signed = storage.signed_url(image.file_key, seconds=seconds, filename=image.filename, mime_type=image.mime_type)
    if signed is not None:
        return signed
    until = int(utc_now().timestamp()) + seconds
    token = file_token(FileTicket(caller.tenant_id, image.id, caller.user_id, until))
    return f"{address}?token={token}&expires={seconds}"


def new_viewer_url(
    session: Session, caller: Caller, study: RadiologyStudy, seconds: int
) -> tuple[str, ViewerGrant | None]:
    """Where the caller sees this study, and the grant that lets its bearer in; none where that asks for a sign-in."""
    if not settings().radiology_signed_urls:
        return viewer_url(study.study_uid, "", seconds), None
    grant = grant_viewing(session, caller.tenant_id, caller.actor, study, user_id=caller.user_id, seconds=seconds)
    ticket = ViewerTicket(caller.tenant_id, grant.id, int(grant.expires_at.timestamp()))
    return viewer_url(study.study_uid, viewer_token(ticket), seconds), grant
