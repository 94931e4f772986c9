"""Browser sessions: begun at a sign-in, found by their token's hash, ended by time, by people or by a disabled user."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import NotFoundError
from models.kernel.secrets import new_token, token_hash
from models.kernel.settings import settings
from models.kernel.tables import Tenant
from models.kernel.tenancy import switch_tenant
from models.people.tables import User, UserSession

SEEN_EVERY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Known:
    """Who a session or a token belongs to; a push key belongs to an instrument: then `user_id` is 0."""

    tenant_id: int
    tenant_slug: str
    tenant_name: str
    time_zone: str
    user_id: int
    email: str
    name: str
    roles: frozenset[str]
    session_id: int | None = None
    token_id: int | None = None
    scopes: frozenset[str] | None = None
    equipment_id: int | None = None


def start_session(
    session: Session, tenant_id: int, user_id: int, *, ip_address: str | None, user_agent: str | None
) -> tuple[UserSession, str]:
    """A new session and the token for its cookie, which is not kept."""
    token = new_token("session")
    row = UserSession(
        tenant_id=tenant_id,
        user_id=user_id,
        token_hash=token.sha256,
        expires_at=utc_now() + timedelta(hours=settings().session_hours),
        ip_address=ip_address,
        user_agent=(user_agent or "")[:300].replace("\0", "") or None,
    )
    session.add(row)
    session.flush()
    return row, token.text


def find_session(session: Session, token: str, *, is_seen: bool = True) -> Known | None:
    """Who the cookie's token signs in, if it still does (a transaction without a tenant).

    Notes that they were seen, unless `is_seen` says that it was a page that asked by itself.
    """
    found = session.execute(
        text("SELECT tenant_id, id FROM registry_user_session(:hash)"), {"hash": token_hash(token)}
    ).one()
    if found.tenant_id is None:
        return None
    switch_tenant(session, found.tenant_id)
    wanted = (
        select(UserSession.last_seen_at, User, Tenant)
        .join(User, (User.tenant_id == UserSession.tenant_id) & (User.id == UserSession.user_id))
        .join(Tenant, Tenant.id == UserSession.tenant_id)
        .where(UserSession.tenant_id == found.tenant_id, UserSession.id == found.id, User.is_active, *_is_open())
    )
    row = session.execute(wanted).one_or_none()
    if row is None:
        return None
    last_seen, user, tenant = row
    idle = settings().session_idle_minutes * 60
    if is_seen and (utc_now() - last_seen).total_seconds() > min(SEEN_EVERY_SECONDS, idle / 10):
        session.execute(
            update(UserSession)
            .where(UserSession.tenant_id == found.tenant_id, UserSession.id == found.id)
            .values(last_seen_at=func.now())
        )
    return Known(
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        tenant_name=tenant.name,
        time_zone=tenant.time_zone,
        user_id=user.id,
        email=user.email,
        name=user.name,
        roles=frozenset(user.roles),
        session_id=found.id,
    )


def list_sessions(session: Session, tenant_id: int, user_id: int) -> Sequence[UserSession]:
    """A user's sessions that still sign them in, the latest first."""
    wanted = select(UserSession).where(UserSession.tenant_id == tenant_id, UserSession.user_id == user_id, *_is_open())
    return session.scalars(wanted.order_by(UserSession.last_seen_at.desc(), UserSession.id.desc())).all()


def end_session(session: Session, tenant_id: int, actor: Actor, *, user_id: int, session_id: int) -> None:
    """End one session of this user; NotFoundError when it is not theirs or has ended."""
    ended = session.scalar(
        update(UserSession)
        .where(
            UserSession.tenant_id == tenant_id,
            UserSession.user_id == user_id,
            UserSession.id == session_id,
            UserSession.ended_at.is_(None),
        )
        .values(ended_at=func.now())
        .returning(UserSession.id)
    )
    if ended is None:
        raise NotFoundError(f"no open session {session_id}", resource="user_session", resource_id=session_id)
    record(session, tenant_id, actor, Action("session.end", "user", user_id, {"session": session_id}))


def end_all_sessions(session: Session, tenant_id: int, user_id: int, *, but: int | None = None) -> int:
    """End every session of a user, except `but`; how many there were."""
    ended = session.scalars(
        update(UserSession)
        .where(
            UserSession.tenant_id == tenant_id,
            UserSession.user_id == user_id,
            UserSession.ended_at.is_(None),
            UserSession.id != (but or 0),
        )
        .values(ended_at=func.now())
        .returning(UserSession.id)
    )
    return len(ended.all())


def _is_open() -> tuple[ColumnElement[bool], ...]:
    idle = timedelta(minutes=settings().session_idle_minutes)
    return (
        UserSession.ended_at.is_(None),
        UserSession.expires_at > func.now(),
        UserSession.last_seen_at > func.now() - idle,
    )
