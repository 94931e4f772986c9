"""API tokens: shown once, kept as SHA-256, never with more rights than their user's roles at the moment of use.

An instrument's own, with which it pushes results, are made in models/instruments/stores/push_keys.py and found here.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.pipeline import Asked, Pipeline
from models.kernel.secrets import new_token, token_hash
from models.kernel.tenancy import switch_pipeline
from models.people.roles import SCOPES
from models.people.rules import refuse_unknown
from models.people.schemas import TokenIn
from models.people.stores.sessions import Known
from models.people.stores.users import get_user
from models.people.tables import ApiToken

PUSH = "results:push"
USED_EVERY_SECONDS = 60
MOST_PLACES = 10_000
_places: dict[bytes, tuple[int, int]] = {}


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


class _Place(NamedTuple):
    tenant_id: int | None
    id: int | None


class _Whose(NamedTuple):
    slug: str
    tenant_name: str
    time_zone: str
    scopes: list[str]
    last_used_at: datetime | None
    user_id: int | None
    email: str | None
    name: str | None
    roles: list[str] | None
    equipment_id: int | None
    equipment_name: str | None


WHERE = Asked("token_where", "bytea", "SELECT tenant_id, id FROM registry_api_token($1)", _Place)
WHOSE = Asked(
    "token_whose",
    "bigint, bigint",
    """
    SELECT n.slug, n.name AS tenant_name, n.time_zone, t.scopes, t.last_used_at, t.user_id, u.email, u.name, u.roles,
           t.equipment_id, e.name AS equipment_name
    FROM api_token t
    JOIN tenant n ON n.id = t.tenant_id
    LEFT JOIN app_user u ON u.tenant_id = t.tenant_id AND u.id = t.user_id
    LEFT JOIN equipment e ON e.tenant_id = t.tenant_id AND e.id = t.equipment_id
    WHERE t.tenant_id = $1 AND t.id = $2 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
      AND (t.user_id IS NULL OR u.is_active)
    """,
    _Whose,
)
"""Asked with every request of a program: prepared, so that it costs two round trips."""


def find_token(pipeline: Pipeline, token: str) -> Known | None:
    """Whom a token speaks for, if it still may; notes its use (a transaction without a tenant)."""
    place = _place(pipeline, token_hash(token))
    if place is None:
        return None
    tenant_id, token_id = place
    switch_pipeline(pipeline, tenant_id)
    rows = pipeline.ask(WHOSE, tenant_id, token_id)
    if not rows:
        return None
    row = rows[0]
    if row.last_used_at is None or (utc_now() - row.last_used_at).total_seconds() > USED_EVERY_SECONDS:
        _note_use(pipeline.session, tenant_id, token_id)
    return Known(
        tenant_id=tenant_id,
        tenant_slug=row.slug,
        tenant_name=row.tenant_name,
        time_zone=row.time_zone,
        user_id=row.user_id or 0,
        email=row.email or "",
        name=row.name or row.equipment_name or "",
        roles=frozenset(row.roles or ()),
        token_id=token_id,
        scopes=frozenset(row.scopes),
        equipment_id=row.equipment_id,
    )


def _place(pipeline: Pipeline, digest: bytes) -> tuple[int, int] | None:
    """Tenant and id of a token. They never change, so a process asks once; whether it still opens anything is asked."""
    if (known := _places.get(digest)) is not None:
        return known
    found = pipeline.ask(WHERE, digest)[0]
    if found.tenant_id is None or found.id is None:
        return None
    if len(_places) >= MOST_PLACES:
        _places.clear()
    _places[digest] = (found.tenant_id, found.id)
    return _places[digest]


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
