"""Keys of devices: shown once, kept as SHA-256, rotated with an overlap, revoked at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.errors import NotFoundError
from models.kernel.secrets import new_token
from models.vitals.schemas import DeviceKeyIn
from models.vitals.stores.devices import get_device
from models.vitals.tables import DeviceKey


@dataclass(frozen=True, slots=True)
class KnownKey:
    """Whose key it is. Whether it still opens the door is asked in the transaction that lets something in."""

    tenant_id: int
    key_id: int
    device_id: int
    code: str
    time_zone: str | None


def find_key(session: Session, key_hash: bytes) -> KnownKey | None:
    """The key of this SHA-256, whatever its state (a transaction without a tenant)."""
    found = session.execute(
        text("SELECT tenant_id, key_id, device_id, code, time_zone FROM registry_device_key(:hash)"),
        {"hash": key_hash},
    ).one_or_none()
    return KnownKey(*found) if found is not None else None


def issue_key(
    session: Session, tenant_id: int, actor: Actor, device_id: int, given: DeviceKeyIn
) -> tuple[DeviceKey, str]:
    """A new key and its text, which is shown now and never again."""
    get_device(session, tenant_id, device_id)
    if given.overlap_hours is not None:
        ends = func.now() + timedelta(hours=given.overlap_hours)
        later = or_(DeviceKey.expires_at.is_(None), DeviceKey.expires_at > ends)
        valid = (DeviceKey.tenant_id == tenant_id, DeviceKey.device_id == device_id, DeviceKey.revoked_at.is_(None))
        session.execute(update(DeviceKey).where(*valid, later).values(expires_at=ends))
    token = new_token("device")
    days = given.expires_in_days
    key = DeviceKey(
        tenant_id=tenant_id,
        device_id=device_id,
        name=given.name,
        prefix=token.prefix,
        key_hash=token.sha256,
        can_write_vitals=given.can_write_vitals,
        can_read_patient=given.can_read_patient,
        expires_at=func.now() + timedelta(days=days) if days is not None else None,
    )
    session.add(key)
    session.flush()
    session.refresh(key)
    changes = {
        "key_id": key.id,
        "prefix": key.prefix,
        "expires_at": key.expires_at,
        "can_write_vitals": key.can_write_vitals,
        "can_read_patient": key.can_read_patient,
        "overlap_hours": given.overlap_hours,
    }
    record(session, tenant_id, actor, Action("device.add_key", "device", device_id, changes))
    return key, token.text


def list_keys(session: Session, tenant_id: int, device_id: int) -> Sequence[DeviceKey]:
    """The device's keys, revoked ones included, the newest first."""
    get_device(session, tenant_id, device_id)
    wanted = select(DeviceKey).where(DeviceKey.tenant_id == tenant_id, DeviceKey.device_id == device_id)
    return session.scalars(wanted.order_by(DeviceKey.id.desc())).all()


def revoke_key(session: Session, tenant_id: int, actor: Actor, device_id: int, key_id: int) -> None:
    """Refuse a key from now on; NotFoundError when it is not this device's or is revoked already."""
    get_device(session, tenant_id, device_id)
    wanted = update(DeviceKey).where(
        DeviceKey.tenant_id == tenant_id,
        DeviceKey.device_id == device_id,
        DeviceKey.id == key_id,
        DeviceKey.revoked_at.is_(None),
    )
    prefix = session.scalar(wanted.values(revoked_at=func.now()).returning(DeviceKey.prefix))
    if prefix is None:
        raise NotFoundError(f"no key {key_id} of device {device_id}")
    record(session, tenant_id, actor, Action("device.revoke_key", "device", device_id, {"key_id": key_id}))
