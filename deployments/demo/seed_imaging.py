"""Radiology orders, one of them with a CT of a phantom, so that there is something to open and to review."""

from typing import Any

from sqlalchemy.orm import Session

from deployments.demo.phantom import Examined, slices
from models.imaging.files import sync_file
from models.imaging.intake import Intake
from models.imaging.offers import Offer
from models.imaging.schemas import OrderIn
from models.imaging.stores.orders import create_order
from models.imaging.tables import RadiologyOrder
from models.imaging.uids import derived_uid
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from models.people.stores.patients import find_by_code
from models.people.stores.users import find_user
from models.people.tables import Patient
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.spool import spool_of

PERFORMED: dict[str, Any] = {
    "patient": "PAT-002",
    "procedure": "CT of the chest",
    "modality": "CT",
    "body_part": "Chest",
    "reason": "Cough for six weeks, loss of weight",
    "priority": "urgent",
}
WAITING: tuple[dict[str, Any], ...] = (
    {"patient": "PAT-004", "procedure": "X-ray of the chest, PA", "modality": "DX", "body_part": "Chest"},
    {
        "patient": "PAT-007",
        "procedure": "CT of the head",
        "modality": "CT",
        "body_part": "Head",
        "reason": "Fall from a motorcycle",
        "priority": "stat",
    },
)
SLICES = 24


def seed_imaging(tenant_id: int, slug: str, *, doctor: str, technician: str) -> None:
    """The orders by the doctor of this address, the study by the technician of the other; LookupError without them."""
    with tenant_session(tenant_id) as session:
        orderer, taker = _person(session, tenant_id, doctor), _person(session, tenant_id, technician)
        for given in WAITING:
            _order(session, tenant_id, orderer, given)
        order, patient = _order(session, tenant_id, orderer, PERFORMED)
        examined = Examined(
            study_uid=derived_uid("demo", slug, "chest"),
            patient_name=f"{patient.family_name}^{patient.given_names}",
            patient_code=patient.code,
            accession_number=order.accession_number,
            birth_date=f"{patient.birth_date:%Y%m%d}" if patient.birth_date else "",
            sex=patient.sex[0].upper(),
            study_date=f"{utc_now():%Y%m%d}",
        )
        order_id = order.id
    _store(tenant_id, slug, taker, examined, order_id)


def _person(session: Session, tenant_id: int, address: str) -> Actor:
    user = find_user(session, tenant_id, address)
    if user is None:
        raise LookupError(address)
    return Actor("user", str(user.id), user.email)


def _order(session: Session, tenant_id: int, orderer: Actor, given: dict[str, Any]) -> tuple[RadiologyOrder, Patient]:
    patient = find_by_code(session, tenant_id, given["patient"])
    if patient is None:
        raise LookupError(given["patient"])
    about = {name: value for name, value in given.items() if name != "patient"}
    wanted = OrderIn(patient_id=patient.id, **about)
    return create_order(session, tenant_id, orderer, wanted, user_id=int(orderer.id)), patient


def _store(tenant_id: int, slug: str, taker: Actor, examined: Examined, order_id: int) -> None:
    intake, spool = Intake(tenant_id, taker, storage_for_new(slug), pool()), spool_of(slug)
    try:
        for number, content in enumerate(slices(examined, SLICES), 1):
            path = spool.fresh()
            path.write_bytes(content)
            sync_file(path)
            name = f"slice-{number:02}.dcm"
            intake.take(Offer(path, name, "stow", user_id=int(taker.id), radiology_order_id=order_id))
    finally:
        pool().close()
