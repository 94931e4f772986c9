"""Users of one tenant: found, created, changed, disabled."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, NotFoundError
from models.people.roles import ROLES
from models.people.rules import refuse_unknown
from models.people.schemas import UserEdit, UserIn
from models.people.stores.sessions import end_all_sessions
from models.people.tables import User


def get_user(session: Session, tenant_id: int, user_id: int, *, lock: bool = False) -> User:
    """One user; NotFoundError when the tenant has none with this id."""
    wanted = select(User).where(User.tenant_id == tenant_id, User.id == user_id)
    user = session.scalar(wanted.with_for_update() if lock else wanted)
    if user is None:
        raise NotFoundError(f"no user {user_id}", resource="app_user", resource_id=user_id)
    return user


def find_user(session: Session, tenant_id: int, email: str) -> User | None:
    """The user with this address, if there is one."""
    return session.scalar(select(User).where(User.tenant_id == tenant_id, User.email == email.strip().lower()))


def list_users(session: Session, tenant_id: int) -> Sequence[User]:
    """Everybody, by name; those who may not sign in any more last."""
    wanted = select(User).where(User.tenant_id == tenant_id)
    return session.scalars(wanted.order_by(User.is_active.desc(), User.name, User.id)).all()


def create_user(session: Session, tenant_id: int, actor: Actor, given: UserIn) -> User:
    """A user without a password; ConflictError when the address is taken in this tenant."""
    roles = refuse_unknown(given.roles, ROLES, field="roles")
    user = User(tenant_id=tenant_id, email=given.email, name=given.name, roles=roles)
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise ConflictError("a user with this e-mail address exists already", field="email") from None
    record(session, tenant_id, actor, Action("user.create", "user", user.id, {"roles": [[], roles]}))
    return user


def edit_user(session: Session, tenant_id: int, actor: Actor, user_id: int, given: UserEdit) -> User:
    """Change name or roles, from the next request on; the last administrator keeps that role (ConflictError)."""
    _lock_administrators(session, tenant_id)
    user = get_user(session, tenant_id, user_id, lock=True)
    changes: dict[str, object] = {}
    if given.roles is not None:
        roles = refuse_unknown(given.roles, ROLES, field="roles")
        if "administrator" not in roles:
            _refuse_last_administrator(session, tenant_id, user)
        if roles != user.roles:
            changes["roles"] = [user.roles, roles]
            user.roles = roles
    if given.name is not None and given.name != user.name:
        changes["name"] = [user.name, given.name]
        user.name = given.name
    session.flush()
    if changes:
        record(session, tenant_id, actor, Action("user.edit", "user", user.id, changes))
    return user


def disable_user(session: Session, tenant_id: int, actor: Actor, user_id: int) -> User:
    """Nobody gets in as this user any more: sessions end, tokens are refused from now on."""
    _lock_administrators(session, tenant_id)
    user = get_user(session, tenant_id, user_id, lock=True)
    if actor.kind == "user" and actor.id == str(user_id):
        raise ConflictError("you cannot disable yourself")
    _refuse_last_administrator(session, tenant_id, user)
    if user.is_active:
        user.is_active = False
        ended = end_all_sessions(session, tenant_id, user_id)
        session.flush()
        record(session, tenant_id, actor, Action("user.disable", "user", user_id, {"sessions_ended": ended}))
    return user


def enable_user(session: Session, tenant_id: int, actor: Actor, user_id: int) -> User:
    """Let a disabled user in again, and lift a lock-out. Tokens not revoked and not expired work again."""
    user = get_user(session, tenant_id, user_id, lock=True)
    was = {"is_active": user.is_active, "is_locked": user.locked_until is not None}
    user.is_active, user.failed_logins, user.locked_until = True, 0, None
    session.flush()
    record(session, tenant_id, actor, Action("user.enable", "user", user_id, {"was": was}))
    return user


def _lock_administrators(session: Session, tenant_id: int) -> None:
    """Two administrators who demote each other at once must not both succeed: lock all of them, in one order."""
    wanted = select(User.id).where(User.tenant_id == tenant_id, User.roles.contains(["administrator"]))
    session.execute(wanted.order_by(User.id).with_for_update())


def _refuse_last_administrator(session: Session, tenant_id: int, user: User) -> None:
    if not user.is_active or "administrator" not in user.roles:
        return
    others = select(func.count()).where(
        User.tenant_id == tenant_id,
        User.id != user.id,
        User.is_active,
        User.roles.contains(["administrator"]),
    )
    if not session.scalar(others):
        raise ConflictError("this is the last administrator; make somebody else administrator first")
