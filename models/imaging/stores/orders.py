"""Radiology orders: asked for, performed once their study has an image, reviewed by a doctor."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.imaging.schemas import OrderIn, ReviewIn
from models.imaging.tables import RadiologyOrder, RadiologyStudy
from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, NotFoundError
from models.kernel.outbox import Event, publish
from models.people.stores.patients import codes_of, living_patient
from models.people.tables import Patient

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Of accession numbers: none that is mistaken for another."""


STATES = ("ordered", "performed", "reviewed")


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order, its patient, and its study where it has one."""

    order: RadiologyOrder
    patient: Patient
    study: RadiologyStudy | None


def create_order(session: Session, tenant_id: int, actor: Actor, given: OrderIn, *, user_id: int) -> RadiologyOrder:
    """Order an examination; ConflictError when the accession number is taken or the patient was merged."""
    living_patient(session, tenant_id, given.patient_id)
    values = given.model_dump() | {"accession_number": given.accession_number or new_accession_number()}
    order = RadiologyOrder(tenant_id=tenant_id, ordered_by=user_id or None, **values)
    try:
        with session.begin_nested():
            session.add(order)
    except IntegrityError:
        raise ConflictError("this accession number is taken", field="accession_number") from None
    session.refresh(order)
    changes = {"patient": order.patient_id, "modality": order.modality, "priority": order.priority}
    record(session, tenant_id, actor, Action("radiology_order.create", "radiology_order", order.id, changes))
    tell(session, tenant_id, "radiology.ordered", order.id, {"patient_id": order.patient_id})
    return order


def get_order(session: Session, tenant_id: int, order_id: int, *, lock: bool = False) -> RadiologyOrder:
    """NotFoundError when the tenant has none of this id."""
    wanted = select(RadiologyOrder).where(RadiologyOrder.tenant_id == tenant_id, RadiologyOrder.id == order_id)
    order = session.scalar(wanted.with_for_update() if lock else wanted)
    if order is None:
        raise NotFoundError(
            f"no radiology order {order_id}",
            field="radiology_order_id",
            resource="radiology_order",
            resource_id=order_id,
        )
    return order


def order_row(session: Session, tenant_id: int, order_id: int) -> OrderRow:
    """The order with its patient and study; NotFoundError."""
    get_order(session, tenant_id, order_id)
    row = session.execute(_rows(tenant_id).where(RadiologyOrder.id == order_id)).one()
    return OrderRow(*row)


def order_by_codes(
    session: Session, tenant_id: int, accession_number: str, patient_code: str, *, lock: bool = False
) -> RadiologyOrder | None:
    """The order of this accession number, if it is of the patient that this code names or named."""
    wanted = select(RadiologyOrder).where(
        RadiologyOrder.tenant_id == tenant_id, RadiologyOrder.accession_number == accession_number
    )
    order = session.scalar(wanted.with_for_update() if lock else wanted)
    if order is None or patient_code not in codes_of(session, tenant_id, order.patient_id):
        return None
    return order


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders; what is left empty does not matter."""

    state: str = ""
    patient_id: int | None = None
    accession_number: str = ""


def list_orders(
    session: Session, tenant_id: int, wanted: OrderFilter, *, page: int = 1, size: int = 25
) -> tuple[Sequence[OrderRow], int]:
    """A page of orders, by state, the most urgent first and then the newest; and how many there are."""
    conditions = _conditions(tenant_id, wanted)
    if wanted.state:
        conditions.append(RadiologyOrder.state == wanted.state)
    total = session.scalar(select(func.count()).select_from(RadiologyOrder).where(*conditions)) or 0
    urgency = func.array_position(["stat", "urgent", "routine"], RadiologyOrder.priority)
    stage = func.array_position(list(STATES), RadiologyOrder.state)
    ordered = _rows(tenant_id).where(*conditions).order_by(stage, urgency, RadiologyOrder.id.desc())
    rows = session.execute(ordered.limit(size).offset((page - 1) * size)).all()
    return [OrderRow(*row) for row in rows], total


def count_orders(session: Session, tenant_id: int, wanted: OrderFilter) -> dict[str, int]:
    """How many there are in each state; the filter's own state does not matter."""
    counted = select(RadiologyOrder.state, func.count()).where(*_conditions(tenant_id, wanted))
    found = dict(session.execute(counted.group_by(RadiologyOrder.state)).tuples().all())
    return {state: found.get(state, 0) for state in STATES}


def review_order(
    session: Session, tenant_id: int, actor: Actor, order_id: int, given: ReviewIn, *, user_id: int
) -> RadiologyOrder:
    """Write the doctor's finding; ConflictError before there are images, after a review, or when the page was stale.

    Stale is also who saw fewer images than there are, where they say how many they saw.
    """
    order = get_order(session, tenant_id, order_id, lock=True)
    if order.state != "performed":
        reason = "has no images yet" if order.state == "ordered" else "is reviewed already"
        raise ConflictError(f"radiology order {order_id} {reason}")
    if order.version != given.version:
        raise ConflictError(f"radiology order {order_id} was changed meanwhile; open it again", field="version")
    image_count = _refuse_unseen(session, order, given.image_count)
    order.state, order.reviewed_by, order.reviewed_at = "reviewed", user_id, utc_now()
    order.review_note, order.reviewed_image_count = given.review_note, image_count
    order.version += 1
    session.flush()
    changes = {
        "state": ["performed", "reviewed"],
        "version": [given.version, order.version],
        "image_count": image_count,
    }
    record(session, tenant_id, actor, Action("radiology_order.review", "radiology_order", order_id, changes))
    tell(session, tenant_id, "radiology.reviewed", order_id, {"patient_id": order.patient_id})
    return order


def mark_performed(session: Session, tenant_id: int, actor: Actor, order: RadiologyOrder, study_id: int) -> None:
    """The order has images now. Does nothing where that was known. The caller holds the order's row lock."""
    if order.state != "ordered":
        return
    order.state, order.performed_at = "performed", utc_now()
    order.version += 1
    session.flush()
    changes = {"state": ["ordered", "performed"], "study": study_id}
    record(session, tenant_id, actor, Action("radiology_order.perform", "radiology_order", order.id, changes))
    tell(session, tenant_id, "radiology.performed", order.id, {"patient_id": order.patient_id, "study_id": study_id})


def _refuse_unseen(session: Session, order: RadiologyOrder, seen: int | None) -> int:
    """How many images the order's study has; ConflictError where more than `seen`. None comes before the commit."""
    study = RadiologyStudy
    wanted = select(study.image_count).where(study.tenant_id == order.tenant_id, study.radiology_order_id == order.id)
    image_count = session.scalar(wanted.with_for_update(key_share=True)) or 0
    if seen is not None and seen != image_count:
        more = image_count - seen
        came = f"{more} image{'s' if more != 1 else ''} came" if more > 0 else "its images changed"
        raise ConflictError(f"{came} since you opened it; look at them first", field="image_count")
    return image_count


def tell(session: Session, tenant_id: int, event: str, order_id: int, payload: dict[str, int]) -> None:
    """Write the event for whoever is connected later; no destination takes it by itself."""
    publish(session, tenant_id, Event(event, f"radiology_order:{order_id}", {"order_id": order_id, **payload}, ()))


def new_accession_number() -> str:
    """`R` and twelve letters and digits: 60 random bits, at most 16 characters as DICOM's SH asks."""
    return "R" + "".join(secrets.choice(LETTERS) for _ in range(12))


def _conditions(tenant_id: int, wanted: OrderFilter) -> list[ColumnElement[bool]]:
    conditions = [RadiologyOrder.tenant_id == tenant_id]
    if wanted.patient_id is not None:
        conditions.append(RadiologyOrder.patient_id == wanted.patient_id)
    if wanted.accession_number:
        conditions.append(RadiologyOrder.accession_number == wanted.accession_number)
    return conditions


def _rows(tenant_id: int) -> Select[tuple[RadiologyOrder, Patient, RadiologyStudy]]:
    study, order = RadiologyStudy, RadiologyOrder
    return (
        select(order, Patient, study)
        .join(Patient, (Patient.tenant_id == order.tenant_id) & (Patient.id == order.patient_id))
        .outerjoin(study, (study.tenant_id == order.tenant_id) & (study.radiology_order_id == order.id))
        .where(order.tenant_id == tenant_id)
    )
