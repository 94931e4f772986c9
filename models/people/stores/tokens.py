"""API tokens: shown once, kept as SHA-256, never with more rights than their user's roles at the moment of use.

An instrument's own, with which it pushes results, are made in models/instruments/stores/push_keys.py and found here.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.orm import Session

from models.instruments.tables import Equipment
from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.secrets import new_token, token_hash
from models.kernel.tables import Tenant
from models.kernel.tenancy import switch_tenant
from models.people.roles import SCOPES
from models.people.rules import refuse_unknown
from models.people.schemas import TokenIn
from models.people.stores.sessions import Known, known, known_instrument
from models.people.stores.users import get_user
from models.people.tables import ApiToken, User

PUSH = "results:push"
USED_EVERY_SECONDS = 60


def issue_token(session: Session, tenant_id: int, actor: Actor, user_id: int, given: TokenIn) -> tuple[ApiToken, str]:
    """A token of this user and its text, which is shown now and never again."""
    user = get_user(session, tenant_id, user_id)
    scopes = refuse_unknown(given.scopes, SCOPES, field="scopes")
    if PUSH in scopes:
        raise InvalidError(f"{PUSH} is only for the push key of an instrument", field="scopes")
    token = new_token("api")
    row = ApiToken(
        tenant_id=tenant_id,
        user_id=user.id,
        name=given.name,
        prefix=token.prefix,
        token_hash=token.sha256,
        scopes=scopes,
        expires_at=utc_now() + timedelta(days=given.expires_in_days),
    )
    session.add(row)
    session.flush()
    changes = {"prefix": token.prefix, "scopes": scopes, "user": user.id}
    record(session, tenant_id, actor, Action("token.create", "token", row.id, changes))
    return row, token.text


def find_token(session: Session, token: str) -> Known | None:
    """Whom a token speaks for, if it still may; notes its use (a transaction without a tenant)."""
    found = session.execute(
        text("SELECT tenant_id, id FROM registry_api_token(:hash)"), {"hash": token_hash(token)}
    ).one()
    if found.tenant_id is None:
        return None
    switch_tenant(session, found.tenant_id)
    wanted = (
        select(ApiToken, User, Equipment, Tenant)
        .outerjoin(User, (User.tenant_id == ApiToken.tenant_id) & (User.id == ApiToken.user_id))
        .outerjoin(Equipment, (Equipment.tenant_id == ApiToken.tenant_id) & (Equipment.id == ApiToken.equipment_id))
        .join(Tenant, Tenant.id == ApiToken.tenant_id)
        .where(
            ApiToken.tenant_id == found.tenant_id,
            ApiToken.id == found.id,
            ApiToken.revoked_at.is_(None),
            or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > func.now()),
            or_(User.is_active, ApiToken.user_id.is_(None)),
        )
    )
    row = session.execute(wanted).one_or_none()
    if row is None:
        return None
    api_token, user, equipment, tenant = row
    used = api_token.last_used_at
    if used is None or (utc_now() - used).total_seconds() > USED_EVERY_SECONDS:
        _note_use(session, found.tenant_id, found.id)
    scopes = frozenset(api_token.scopes)
    if user is None:
        return known_instrument(tenant, equipment, token_id=found.id, scopes=scopes)
    return known(tenant, user, token_id=found.id, scopes=scopes, equipment_id=api_token.equipment_id)


def list_tokens(session: Session, tenant_id: int, user_id: int | None = None) -> Sequence[ApiToken]:
    """Tokens not revoked, of one user or of all, the newest first."""
    wanted = select(ApiToken).where(ApiToken.tenant_id == tenant_id, ApiToken.revoked_at.is_(None))
    if user_id is not None:
        wanted = wanted.where(ApiToken.user_id == user_id)
    return session.scalars(wanted.order_by(ApiToken.id.desc())).all()


def revoke_token(session: Session, tenant_id: int, actor: Actor, token_id: int, *, user_id: int | None) -> None:
    """Refuse a token from now on; NotFoundError when it is gone already or not this user's (None: anybody's)."""
    wanted = update(ApiToken).where(
        ApiToken.tenant_id == tenant_id, ApiToken.id == token_id, ApiToken.revoked_at.is_(None)
    )
    if user_id is not None:
        wanted = wanted.where(ApiToken.user_id == user_id)
    revoked = session.scalar(wanted.values(revoked_at=func.now()).returning(ApiToken.prefix))
    if revoked is None:
        raise NotFoundError(f"no token {token_id}", resource="api_token", resource_id=token_id)
    record(session, tenant_id, actor, Action("token.revoke", "token", token_id, {"prefix": revoked}))


def _note_use(session: Session, tenant_id: int, token_id: int) -> None:
    """A busy token is used by many requests at once: whoever finds its row taken leaves the note to the other."""
    session.execute(
        text(
            "UPDATE api_token SET last_used_at = now() WHERE tenant_id = :tenant_id AND id = "
            "(SELECT id FROM api_token WHERE tenant_id = :tenant_id AND id = :id FOR UPDATE SKIP LOCKED)"
        ),
        {"tenant_id": tenant_id, "id": token_id},
    )
