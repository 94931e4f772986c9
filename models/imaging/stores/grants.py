"""Addresses of the viewer: given to somebody for one study, counted, revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from models.imaging.stores.studies import Seen
from models.imaging.tables import RadiologyImage, RadiologySeries, RadiologyStudy, ViewerGrant
from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import NotFoundError
from models.kernel.tables import Tenant
from models.people.roles import RADIOLOGY
from models.people.rules import rights_of
from models.people.tables import User

TECHNICIAN = "radiology_technician"
COUNT = text("""
UPDATE viewer_grant SET requests = requests + :requests, openings = openings + :openings, last_used_at = now()
WHERE tenant_id = :tenant_id
  AND id = (SELECT id FROM viewer_grant WHERE tenant_id = :tenant_id AND id = :id FOR UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant, its study, and whose it is."""

    grant: ViewerGrant
    study: RadiologyStudy
    user: User
    tenant: Tenant


@dataclass(frozen=True, slots=True)
class Looker:
    """Somebody who was given an address of an image, and the image's study."""

    user: User
    study: RadiologyStudy
    tenant: Tenant


def grant_viewing(
    session: Session, tenant_id: int, actor: Actor, study: RadiologyStudy, *, user_id: int, seconds: int
) -> ViewerGrant:
    """A grant of this study to this user for so long."""
    expires_at = utc_now().replace(microsecond=0) + timedelta(seconds=seconds)
    grant = ViewerGrant(tenant_id=tenant_id, study_id=study.id, user_id=user_id, expires_at=expires_at)
    session.add(grant)
    session.flush()
    session.refresh(grant)
    changes = {"study": study.id, "user": user_id, "expires_at": expires_at}
    record(session, tenant_id, actor, Action("viewer.grant", "viewer_grant", grant.id, changes))
    return grant


def find_grant(session: Session, tenant_id: int, grant_id: int) -> Granted | None:
    """The grant with its study and whose it is; whether it still opens it says `closed_because`."""
    grant, study = ViewerGrant, RadiologyStudy
    wanted = (
        select(grant, study, User, Tenant)
        .join(study, (study.tenant_id == grant.tenant_id) & (study.id == grant.study_id))
        .join(User, (User.tenant_id == grant.tenant_id) & (User.id == grant.user_id))
        .join(Tenant, Tenant.id == grant.tenant_id)
        .where(grant.tenant_id == tenant_id, grant.id == grant_id)
    )
    row = session.execute(wanted).one_or_none()
    return Granted(*row) if row is not None else None


def find_looker(session: Session, tenant_id: int, *, user_id: int, image_id: int) -> Looker | None:
    """The bearer of an image's address; None where there is no such user or image."""
    image, series, study = RadiologyImage, RadiologySeries, RadiologyStudy
    wanted = (
        select(User, study, Tenant)
        .join(image, image.tenant_id == User.tenant_id)
        .join(series, (series.tenant_id == image.tenant_id) & (series.id == image.series_id))
        .join(study, (study.tenant_id == series.tenant_id) & (study.id == series.study_id))
        .join(Tenant, Tenant.id == image.tenant_id)
        .where(User.tenant_id == tenant_id, User.id == user_id, image.id == image_id)
    )
    row = session.execute(wanted).one_or_none()
    return Looker(*row) if row is not None else None


def closed_because(granted: Granted) -> str:
    """Why the grant opens nothing any more; empty where it does."""
    if granted.grant.revoked_at is not None:
        return "revoked"
    if granted.grant.expires_at <= utc_now():
        return "expired"
    return unseen_because(granted.tenant, granted.user, granted.study)


def unseen_because(tenant: Tenant, user: User, study: RadiologyStudy) -> str:
    """Why the user may not see this study, or not any more; empty where they may."""
    rights = rights_of(user.roles)
    if not tenant.is_active or not user.is_active:
        return "not active"
    if rights.isdisjoint(RADIOLOGY):
        return "role"
    return "" if seen_by(user).allows(study) else "not assigned"


def seen_by(user: User, study_uid: str | None = None) -> Seen:
    """What a user's roles let them see, or of one study alone."""
    return Seen(TECHNICIAN in rights_of(user.roles), study_uid)


def count_use(session: Session, tenant_id: int, grant_id: int, *, requests: int, openings: int) -> bool:
    """Count what was asked since the last time; False where another is counting just now: come again."""
    values = {"tenant_id": tenant_id, "id": grant_id, "requests": requests, "openings": openings}
    return bool(session.execute(COUNT, values).rowcount)  # type: ignore[attr-defined] # of an UPDATE


def list_grants(
    session: Session, tenant_id: int, study_id: int, *, user_id: int | None
) -> Sequence[Row[tuple[ViewerGrant, User]]]:
    """The grants of a study with whose they are, the latest first; of one user where that is given."""
    grant = ViewerGrant
    wanted = (
        select(grant, User)
        .join(User, (User.tenant_id == grant.tenant_id) & (User.id == grant.user_id))
        .where(grant.tenant_id == tenant_id, grant.study_id == study_id)
    )
    if user_id is not None:
        wanted = wanted.where(grant.user_id == user_id)
    return session.execute(wanted.order_by(grant.id.desc()).limit(500)).all()


def revoke_grant(
    session: Session, tenant_id: int, actor: Actor, grant_id: int, *, user_id: int, is_anyones: bool
) -> tuple[ViewerGrant, User]:
    """The grant opens nothing from now on; again is no error. NotFoundError where it is not this user's."""
    grant = ViewerGrant
    wanted = (
        select(grant, User)
        .join(User, (User.tenant_id == grant.tenant_id) & (User.id == grant.user_id))
        .where(grant.tenant_id == tenant_id, grant.id == grant_id)
        .with_for_update(of=grant)
    )
    row = session.execute(wanted).one_or_none()
    if row is None or not (is_anyones or row[0].user_id == user_id):
        raise NotFoundError(
            f"no viewer grant {grant_id}", resource="viewer_grant", resource_id=grant_id if row is None else None
        )
    found, user = row
    if found.revoked_at is None:
        found.revoked_at, found.revoked_by = func.now(), user_id or None
        session.flush()
        session.refresh(found)
        changes = {"study": found.study_id, "user": found.user_id}
        record(session, tenant_id, actor, Action("viewer.revoke", "viewer_grant", grant_id, changes))
    return found, user
