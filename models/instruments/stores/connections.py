"""How to reach instruments: endpoints and decrypted keys, for those who call them."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models.instruments.tables import Equipment, EquipmentKey
from models.kernel.errors import ConfigError
from models.kernel.secrets import decrypt
from models.kernel.settings import settings


@dataclass(frozen=True, slots=True)
class Connection:
    """One instrument's address. `keys` are those valid now, the newest first; `problem` is why it cannot be called."""

    tenant_id: int
    equipment_id: int
    endpoint: str
    auth_header: str
    is_idempotent: bool
    supports_auto_fetch: bool
    timeout_seconds: float
    keys: tuple[str, ...] = field(repr=False)
    problem: str = ""


def key_context(tenant_id: int, equipment_id: int) -> str:
    """What an instrument's key is bound to when it is encrypted."""
    return f"equipment_key:{tenant_id}:{equipment_id}"


def load_connections(
    session: Session, tenant_id: int, equipment_ids: Collection[int] | None = None
) -> dict[int, Connection]:
    """The connections of these instruments (all for None) by id; those without an endpoint are left out."""
    wanted = select(Equipment).where(Equipment.tenant_id == tenant_id, func.coalesce(Equipment.api_endpoint, "") != "")
    if equipment_ids is not None:
        wanted = wanted.where(Equipment.id.in_(equipment_ids))
    equipment = list(session.scalars(wanted))
    keys = _keys(session, tenant_id, [one.id for one in equipment])
    usual = settings().instrument_api_timeout
    return {
        one.id: Connection(
            tenant_id=tenant_id,
            equipment_id=one.id,
            endpoint=one.api_endpoint or "",
            auth_header=one.auth_header,
            is_idempotent=one.is_idempotent,
            supports_auto_fetch=one.supports_auto_fetch,
            timeout_seconds=float(one.timeout_seconds or usual),
            keys=tuple(key for key in keys.get(one.id, ()) if key is not None),
            problem="its key cannot be decrypted" if None in keys.get(one.id, ()) else "",
        )
        for one in equipment
    }


def _keys(session: Session, tenant_id: int, equipment_ids: list[int]) -> dict[int, list[str | None]]:
    valid = select(EquipmentKey).where(
        EquipmentKey.tenant_id == tenant_id,
        EquipmentKey.equipment_id.in_(equipment_ids),
        EquipmentKey.valid_from <= func.now(),
        or_(EquipmentKey.valid_until.is_(None), EquipmentKey.valid_until > func.now()),
    )
    found: dict[int, list[str | None]] = {}
    for row in session.scalars(valid.order_by(EquipmentKey.valid_from.desc(), EquipmentKey.id.desc())):
        found.setdefault(row.equipment_id, []).append(_plain(row))
    return found


def _plain(row: EquipmentKey) -> str | None:
    """The key; None when it cannot be decrypted, which stops that instrument and no other."""
    try:
        return decrypt(row.secret, context=key_context(row.tenant_id, row.equipment_id))
    except ConfigError:
        return None
