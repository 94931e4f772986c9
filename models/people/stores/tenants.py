"""Tenants: created by the owner, found by their slug."""

import re
import unicodedata
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.kernel.tables import Tenant
from models.people.schemas import TenantIn

LONGEST_SLUG = 50


def slug_of(name: str) -> str:
    """A short name for addresses and parameters, made from a laboratory's name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-")


def create_tenant(session: Session, actor: Actor, given: TenantIn) -> Tenant:
    """A new laboratory (a session of the owner); ConflictError when the slug is taken."""
    try:
        ZoneInfo(given.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidError("is not a time zone such as Africa/Lagos", field="time_zone") from None
    tenant = Tenant(slug=given.slug, name=given.name, time_zone=given.time_zone)
    try:
        with session.begin_nested():
            session.add(tenant)
    except IntegrityError:
        raise ConflictError("a laboratory with this short name exists already", field="slug") from None
    record(session, tenant.id, actor, Action("tenant.create", "tenant", tenant.id, {"slug": tenant.slug}))
    return tenant


def tenant_id_of(session: Session, slug: str) -> int:
    """The id of the active tenant with this slug (registry session)."""
    found = session.scalar(text("SELECT id FROM registry_tenants() WHERE slug = :slug"), {"slug": slug})
    if found is None:
        raise NotFoundError(f"no laboratory {slug}", field="tenant")
    return int(found)
