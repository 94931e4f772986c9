"""Passwords: set by a one-time link, changed by their owner. Hashing happens outside the transactions."""

from datetime import timedelta

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import publish
from models.kernel.secrets import new_token, token_hash
from models.kernel.settings import settings
from models.kernel.tables import Tenant
from models.people.stores.sessions import end_all_sessions
from models.people.stores.users import get_user
from models.people.tables import PasswordReset, User

INVITATION_MINUTES = 3 * 24 * 60
"""A new colleague reads mail less promptly than somebody who has just asked for a link."""
MOST_OPEN_LINKS = 3
USED_UP = "this link was used already or has expired; ask for a new one"


def make_link(session: Session, tenant_id: int, user_id: int, *, minutes: float) -> str:
    """The address of a page on which this user may set a password once, within `minutes`."""
    return _new_link(session, tenant_id, user_id, minutes=minutes)[1]


def mail_link(session: Session, tenant_id: int, actor: Actor, user_id: int, *, is_invitation: bool = False) -> bool:
    """Mail a one-time link through the outbox; False when the user is disabled or has links enough in their mailbox."""
    user = get_user(session, tenant_id, user_id, lock=True)
    if not user.is_active or _open_links(session, tenant_id, user_id) >= MOST_OPEN_LINKS:
        return False
    minutes = INVITATION_MINUTES if is_invitation else settings().password_reset_minutes
    reset_id, link = _new_link(session, tenant_id, user_id, minutes=minutes)
    laboratory = session.scalar(select(Tenant.name).where(Tenant.id == tenant_id))
    context = {"name": user.name, "minutes": round(minutes), "laboratory": laboratory}
    template = "user_invited" if is_invitation else "password_reset"
    mail = Mail(template, [user.email], context, secrets={"link": link})
    # Each link is an entity of its own: a mail that cannot be delivered must not hold back the next one.
    event = mail_event(tenant_id, f"user.{template}", f"password_reset:{reset_id}", mail)
    publish(session, tenant_id, event)
    record(session, tenant_id, actor, Action(event.type, "user", user_id, {}))
    return True


def find_reset(session: Session, token: str) -> tuple[int, int] | None:
    """Tenant and id of the link with this token, used up or not (a transaction without a tenant)."""
    row = session.execute(
        text("SELECT tenant_id, id FROM registry_password_reset(:hash)"), {"hash": token_hash(token)}
    ).one()
    return None if row.tenant_id is None else (row.tenant_id, row.id)


def open_reset(session: Session, tenant_id: int, reset_id: int, *, lock: bool = False) -> User:
    """The user whose password the link may set; NotFoundError when it was used or has expired, or they are disabled."""
    wanted = (
        select(User)
        .join(PasswordReset, (PasswordReset.tenant_id == User.tenant_id) & (PasswordReset.user_id == User.id))
        .where(
            PasswordReset.tenant_id == tenant_id,
            PasswordReset.id == reset_id,
            PasswordReset.used_at.is_(None),
            PasswordReset.expires_at > func.now(),
            User.is_active,
        )
    )
    user = session.scalar(wanted.with_for_update() if lock else wanted)
    if user is None:
        raise NotFoundError(USED_UP)
    return user


def use_reset(session: Session, tenant_id: int, actor: Actor, reset_id: int, *, password_hash: str) -> User:
    """Set the password by the link, once: all links of the user are used up, all sessions end, a lock-out is lifted."""
    user = open_reset(session, tenant_id, reset_id, lock=True)
    session.execute(
        update(PasswordReset)
        .where(PasswordReset.tenant_id == tenant_id, PasswordReset.user_id == user.id, PasswordReset.used_at.is_(None))
        .values(used_at=func.now())
    )
    user.password_hash, user.failed_logins, user.locked_until = password_hash, 0, None
    ended = end_all_sessions(session, tenant_id, user.id)
    session.flush()
    own = Actor("user", str(user.id), user.email, actor.ip_address, actor.session_id)
    record(session, tenant_id, own, Action("user.password_set", "user", user.id, {"sessions_ended": ended}))
    return user


def set_password(
    session: Session, tenant_id: int, actor: Actor, user_id: int, *, password_hash: str, but: int | None = None
) -> None:
    """Replace the password; every session but `but` ends."""
    user = get_user(session, tenant_id, user_id, lock=True)
    user.password_hash, user.failed_logins, user.locked_until = password_hash, 0, None
    ended = end_all_sessions(session, tenant_id, user_id, but=but)
    session.flush()
    record(session, tenant_id, actor, Action("user.password_set", "user", user_id, {"sessions_ended": ended}))


def _new_link(session: Session, tenant_id: int, user_id: int, *, minutes: float) -> tuple[int, str]:
    token = new_token("reset")
    expires_at = utc_now() + timedelta(minutes=minutes)
    row = PasswordReset(tenant_id=tenant_id, user_id=user_id, token_hash=token.sha256, expires_at=expires_at)
    session.add(row)
    session.flush()
    return row.id, f"{settings().base_url}/reset/{token.text}"


def refuse_same(present: str, new: str) -> None:
    """InvalidError when a change of password changes nothing."""
    if present == new:
        raise InvalidError("is the same as before", field="password")


def _open_links(session: Session, tenant_id: int, user_id: int) -> int:
    wanted = select(func.count()).where(
        PasswordReset.tenant_id == tenant_id,
        PasswordReset.user_id == user_id,
        PasswordReset.used_at.is_(None),
        PasswordReset.expires_at > func.now(),
    )
    return session.scalar(wanted) or 0
