"""Which order a study belongs to: named, found by accession number and patient, or chosen by a technician."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, or_, select, update
from sqlalchemy.orm import Session

from models.imaging.ports import Instance
from models.imaging.rules import NotLetInError, refuse_other_patient
from models.imaging.stores.orders import get_order, mark_performed, order_by_codes
from models.imaging.stores.writing_statements import Known
from models.imaging.tables import RadiologyOrder, RadiologyStudy
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, NotFoundError
from models.people.stores.patients import codes_of
from models.people.tables import Patient


@dataclass(frozen=True, slots=True)
class Asking:
    """An image that looks for its order; `radiology_order_id` is the one its sender named."""

    found: Instance
    radiology_order_id: int | None


def order_of(session: Session, tenant_id: int, asking: Asking, known: Known) -> RadiologyOrder | None:
    """The order to be given to the image's study, locked; None where the study has one already, or there is none.

    NotLetInError where the file's patient is not the study's or the order's, or the study is another order's.
    """
    wanted_id, code = asking.radiology_order_id, asking.found.patient_code
    if known.study_id is not None and known.patient_code != code:
        raise NotLetInError("study_of_another")
    if known.radiology_order_id is not None:
        if wanted_id is not None and wanted_id != known.radiology_order_id:
            raise NotLetInError("order_differs")
        return None
    if wanted_id is not None:
        order = get_order(session, tenant_id, wanted_id, lock=True)
        refuse_other_patient(code, codes_of(session, tenant_id, order.patient_id))
        return order
    return found_order(session, tenant_id, asking.found)


def refuse_taken(session: Session, tenant_id: int, order: RadiologyOrder, study_uid: str) -> None:
    """NotLetInError when the order, whose row lock is held, has another study."""
    wanted = select(RadiologyStudy.study_uid).where(
        RadiologyStudy.tenant_id == tenant_id, RadiologyStudy.radiology_order_id == order.id
    )
    if session.scalar(wanted) not in (None, study_uid):
        raise NotLetInError("order_taken")


def assign(session: Session, tenant_id: int, order: RadiologyOrder, study_id: int, user_id: int | None = None) -> bool:
    """Give the study to the order, whose row lock is held; False where it has it. NotLetInError: another order has it.

    Locks the study as strongly as can be: after its series.
    """
    study = RadiologyStudy
    values = {"radiology_order_id": order.id, "assigned_at": func.now(), "assigned_by": user_id}
    is_it = (study.tenant_id == tenant_id, study.id == study_id)
    given = session.scalar(
        update(study)
        .where(*is_it, study.radiology_order_id.is_(None))
        .values(**values, changed_at=func.now())
        .returning(study.id)
        .execution_options(synchronize_session=False)
    )
    if given is None and session.scalar(select(study.radiology_order_id).where(*is_it)) != order.id:
        raise NotLetInError("order_differs")  # given to it since it was looked for
    return given is not None


def assign_by_hand(
    session: Session, tenant_id: int, actor: Actor, study_id: int, *, order_id: int, user_id: int
) -> None:
    """A technician says which order a study without one belongs to: the order is performed with it.

    ConflictError where the study has an order, or the order a study. The patient is the technician's word: a modality's
    own number for a patient need not be ours, and the audit trail keeps both.
    """
    order = get_order(session, tenant_id, order_id, lock=True)
    wanted = select(RadiologyStudy).where(RadiologyStudy.tenant_id == tenant_id, RadiologyStudy.id == study_id)
    study = session.scalar(wanted.with_for_update())
    if study is None:
        raise NotFoundError(f"no study {study_id}", resource="radiology_study", resource_id=study_id)
    if study.radiology_order_id == order_id:
        return
    if study.radiology_order_id is not None:
        raise ConflictError(f"study {study_id} belongs to an order already")
    try:
        refuse_taken(session, tenant_id, order, study.study_uid)
    except NotLetInError:
        raise ConflictError(f"radiology order {order_id} has a study already", field="radiology_order_id") from None
    assign(session, tenant_id, order, study_id, user_id)
    same_patient = study.patient_code in codes_of(session, tenant_id, order.patient_id)
    changes = {"order": order_id, "patient": order.patient_id, "is_patient_in_files": same_patient}
    record(session, tenant_id, actor, Action("radiology_study.assign", "radiology_study", study_id, changes))
    mark_performed(session, tenant_id, actor, order, study_id)


def fitting_orders(session: Session, tenant_id: int, study: RadiologyStudy, *, most: int = 20) -> Sequence[Row[Any]]:
    """Orders without a study that the study may belong to, with their patients: likely ones first."""
    order, patient, taken = RadiologyOrder, Patient, RadiologyStudy
    is_taken = select(taken.id).where(taken.tenant_id == tenant_id, taken.radiology_order_id == order.id).exists()
    wanted = (
        select(order, patient)
        .join(patient, (patient.tenant_id == order.tenant_id) & (patient.id == order.patient_id))
        .where(order.tenant_id == tenant_id, order.state == "ordered", ~is_taken)
        .order_by(
            or_(order.accession_number == study.accession_number, patient.code == study.patient_code).desc(),
            (order.modality == study.modality).desc(),
            order.id.desc(),
        )
    )
    return session.execute(wanted.limit(most)).all()


def found_order(session: Session, tenant_id: int, found: Instance) -> RadiologyOrder | None:
    """By accession number and patient; None where there is none, or it has another study."""
    if not found.accession_number or not found.patient_code:
        return None
    order = order_by_codes(session, tenant_id, found.accession_number, found.patient_code, lock=True)
    if order is None:
        return None
    study = select(RadiologyStudy.study_uid).where(
        RadiologyStudy.tenant_id == tenant_id, RadiologyStudy.radiology_order_id == order.id
    )
    return order if session.scalar(study) in (None, found.study_uid) else None
