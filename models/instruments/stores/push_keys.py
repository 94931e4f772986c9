"""The keys with which instruments push their results: the instrument's own, shown once, kept as SHA-256."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from models.instruments.inputs import PushKeyInput
from models.instruments.stores.equipment import get_equipment
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import NotFoundError
from models.kernel.secrets import new_token
from models.people.tables import ApiToken

PUSH = "results:push"
SHOWN_AFTER_END = timedelta(days=30)
"""How long a key that has run out is still listed: somebody may wonder why nothing arrives any more."""


def issue_push_key(
    session: Session, tenant_id: int, actor: Actor, equipment_id: int, given: PushKeyInput
) -> tuple[ApiToken, str]:
    """A new key and its text, which is shown now and never again; the keys before it end with the overlap."""
    name = get_equipment(session, tenant_id, equipment_id).name
    ends = func.now() + timedelta(hours=given.overlap_hours)
    earlier = update(ApiToken).where(*_of(tenant_id, equipment_id), ApiToken.expires_at > ends)
    session.execute(earlier.values(expires_at=ends))
    token = new_token("push")
    row = ApiToken(
        tenant_id=tenant_id,
        user_id=None,
        equipment_id=equipment_id,
        name=name,
        prefix=token.prefix,
        token_hash=token.sha256,
        scopes=[PUSH],
        expires_at=func.now() + timedelta(days=given.expires_in_days),
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    changes = {"key_id": row.id, "prefix": row.prefix, "expires_at": row.expires_at, "overlap": given.overlap_hours}
    record(session, tenant_id, actor, Action("equipment.add_push_key", "equipment", equipment_id, changes))
    return row, token.text


def list_push_keys(session: Session, tenant_id: int, equipment_id: int) -> Sequence[ApiToken]:
    """The instrument's keys that are not revoked, those that ran out lately included, the newest first."""
    get_equipment(session, tenant_id, equipment_id)
    lately = ApiToken.expires_at > func.now() - SHOWN_AFTER_END
    wanted = select(ApiToken).where(*_of(tenant_id, equipment_id), lately)
    return session.scalars(wanted.order_by(ApiToken.id.desc())).all()


def revoke_push_key(session: Session, tenant_id: int, actor: Actor, equipment_id: int, key_id: int) -> None:
    """Refuse a key from now on; NotFoundError when it is not this instrument's or is revoked already."""
    get_equipment(session, tenant_id, equipment_id)
    wanted = update(ApiToken).where(*_of(tenant_id, equipment_id), ApiToken.id == key_id)
    prefix = session.scalar(wanted.values(revoked_at=func.now()).returning(ApiToken.prefix))
    if prefix is None:
        raise NotFoundError(f"no push key {key_id} of instrument {equipment_id}")
    changes = {"key_id": key_id, "prefix": prefix}
    record(session, tenant_id, actor, Action("equipment.revoke_push_key", "equipment", equipment_id, changes))


def _of(tenant_id: int, equipment_id: int) -> tuple[ColumnElement[bool], ...]:
    return (
        ApiToken.tenant_id == tenant_id,
        ApiToken.equipment_id == equipment_id,
        ApiToken.user_id.is_(None),
        ApiToken.revoked_at.is_(None),
    )
