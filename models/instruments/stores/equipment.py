"""Instruments and the keys the hub shows them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from models.instruments.inputs import EquipmentChange, EquipmentInput, KeyInput
from models.instruments.stores.connections import key_context
from models.instruments.stores.departments import get_department
from models.instruments.stores.meanwhile import refuse_stale
from models.instruments.tables import Equipment, EquipmentKey
from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, NotFoundError
from models.kernel.secrets import encrypt


def list_equipment(session: Session, tenant_id: int) -> Sequence[Equipment]:
    """All instruments, by name."""
    return session.scalars(select(Equipment).where(Equipment.tenant_id == tenant_id).order_by(Equipment.name)).all()


def get_equipment(session: Session, tenant_id: int, equipment_id: int, *, field: str | None = None) -> Equipment:
    """The instrument, or NotFoundError; `field` names where a request referred to it."""
    found = session.get(Equipment, (tenant_id, equipment_id))
    if found is None:
        message = f"no instrument {equipment_id}"
        raise NotFoundError(message, field=field, resource="equipment", resource_id=equipment_id)
    return found


def create_equipment(session: Session, tenant_id: int, actor: Actor, given: EquipmentInput) -> Equipment:
    """A new instrument; ConflictError where its name or serial number is taken."""
    _refuse_taken(session, tenant_id, given)
    if given.department_id is not None:
        get_department(session, tenant_id, given.department_id, field="department_id")
    made = Equipment(tenant_id=tenant_id, **given.model_dump())
    session.add(made)
    session.flush()
    changes = given.model_dump(mode="json", exclude_none=True)
    record(session, tenant_id, actor, Action("equipment.create", "equipment", made.id, changes))
    return made


def update_equipment(
    session: Session, tenant_id: int, actor: Actor, equipment_id: int, given: EquipmentChange
) -> Equipment:
    """The instrument with every field as given; ConflictError when it is not in the version that was read."""
    wanted = select(Equipment).where(Equipment.tenant_id == tenant_id, Equipment.id == equipment_id)
    row = session.scalar(wanted.with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise NotFoundError(f"no instrument {equipment_id}", resource="equipment", resource_id=equipment_id)
    refuse_stale(seen=given.version, present=row.version, what=f"instrument {equipment_id}")
    _refuse_taken(session, tenant_id, given, but=equipment_id)
    if given.department_id is not None:
        get_department(session, tenant_id, given.department_id, field="department_id")
    new = given.model_dump(exclude={"version"})
    changes = {name: [_plain(getattr(row, name)), _plain(to)] for name, to in new.items() if getattr(row, name) != to}
    for name, value in new.items():
        setattr(row, name, value)
    row.version += 1
    session.flush()
    changes["version"] = [given.version, row.version]
    record(session, tenant_id, actor, Action("equipment.update", "equipment", row.id, changes))
    return row


def add_key(session: Session, tenant_id: int, actor: Actor, equipment_id: int, given: KeyInput) -> EquipmentKey:
    """A new key, tried first from now on; the keys before it end with the overlap, unless they end sooner."""
    get_equipment(session, tenant_id, equipment_id)
    now = utc_now()
    ends = now + timedelta(hours=given.overlap_hours)
    for key in current_keys(session, tenant_id, equipment_id, now=now):
        key.valid_until = min(ends, key.valid_until or ends)
    sealed = encrypt(given.key, context=key_context(tenant_id, equipment_id))
    made = EquipmentKey(tenant_id=tenant_id, equipment_id=equipment_id, secret=sealed, valid_from=now)
    session.add(made)
    session.flush()
    changes = {"key_id": made.id, "earlier_end": ends.isoformat()}
    record(session, tenant_id, actor, Action("equipment.add_key", "equipment", equipment_id, changes))
    return made


def end_key(session: Session, tenant_id: int, actor: Actor, equipment_id: int, key_id: int) -> EquipmentKey:
    """End a key now; ConflictError when it has ended."""
    get_equipment(session, tenant_id, equipment_id)
    key = session.get(EquipmentKey, (tenant_id, key_id), with_for_update=True)
    if key is None or key.equipment_id != equipment_id:
        raise NotFoundError(f"no key {key_id} of instrument {equipment_id}")
    now = utc_now()
    if key.valid_until is not None and key.valid_until <= now:
        raise ConflictError(f"key {key_id} has ended")
    key.valid_until = now
    session.flush()
    record(session, tenant_id, actor, Action("equipment.end_key", "equipment", equipment_id, {"key_id": key_id}))
    return key


def list_keys(session: Session, tenant_id: int, equipment_id: int) -> Sequence[EquipmentKey]:
    """All keys of an instrument, newest first; their secrets stay sealed."""
    get_equipment(session, tenant_id, equipment_id)
    wanted = select(EquipmentKey).where(EquipmentKey.tenant_id == tenant_id, EquipmentKey.equipment_id == equipment_id)
    return session.scalars(wanted.order_by(EquipmentKey.id.desc())).all()


def current_keys(session: Session, tenant_id: int, equipment_id: int, *, now: datetime) -> Sequence[EquipmentKey]:
    """The keys that are valid at `now`, newest first."""
    wanted = select(EquipmentKey).where(
        EquipmentKey.tenant_id == tenant_id,
        EquipmentKey.equipment_id == equipment_id,
        EquipmentKey.valid_from <= now,
        or_(EquipmentKey.valid_until.is_(None), EquipmentKey.valid_until > now),
    )
    return session.scalars(wanted.order_by(EquipmentKey.id.desc())).all()


def _refuse_taken(session: Session, tenant_id: int, given: EquipmentInput, but: int | None = None) -> None:
    for column, value in ((Equipment.name, given.name), (Equipment.serial_number, given.serial_number)):
        wanted = select(Equipment.id).where(Equipment.tenant_id == tenant_id, column == value)
        if value is not None and session.scalar(wanted.where(Equipment.id != but) if but else wanted) is not None:
            raise ConflictError(f"another instrument has this {column.key.replace('_', ' ')}", field=column.key)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | bool) else str(value)
