"""Whose a picture is: a JPEG says nothing of patient or study; its study does, or its order, named or found."""

from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.imaging.rules import SEXES, Declared, dicom_name, refuse_other_patient, written_date
from models.imaging.stores.orders import OrderRow, order_by_codes, order_row
from models.imaging.tables import RadiologyStudy
from models.imaging.uids import derived_uid
from models.people.stores.patients import codes_of


@dataclass(frozen=True, slots=True)
class Whose:
    """What a picture's wrapping says of patient and study; empty where nothing is known."""

    study_uid: str | None = None
    patient_name: str = ""
    patient_code: str = ""
    patient_codes: frozenset[str] = frozenset()
    """Every code that names this patient; none where nobody is known."""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_description: str = ""
    modality: str = ""

    def refuse_other(self, declared: Declared) -> None:
        """NotLetInError where the picture was said to be another patient's."""
        if declared.patient_code is not None and self.patient_codes:
            refuse_other_patient(declared.patient_code.strip(), self.patient_codes)


def whose(session: Session, tenant_id: int, declared: Declared, order_id: int | None) -> Whose:
    """By the study where it is there, else by its order: the one that is named, or found by accession and patient.

    NotFoundError for an order that is named and not there.
    """
    row = order_row(session, tenant_id, order_id) if order_id is not None else None
    study_uid = declared.study_uid
    if study_uid is None and order_id is None and has_codes(declared):
        study_uid = study_of_pictures(tenant_id, declared, None)
    study = _study(session, tenant_id, study_uid) if study_uid is not None else None
    if row is None and study is None:
        row = _found(session, tenant_id, declared)
    if row is not None and declared.study_uid is None and study is None:
        study = row.study
    codes = codes_of(session, tenant_id, row.patient.id) if row is not None else set()
    if study is not None:
        return Whose(
            study_uid=study.study_uid,
            patient_name=study.patient_name,
            patient_code=study.patient_code,
            patient_codes=frozenset((study.patient_code, *codes)),
            patient_birth_date=study.patient_birth_date,
            patient_sex=study.patient_sex,
            accession_number=study.accession_number,
            study_date=written_date(study.study_date),
            study_description=study.study_description,
            modality=study.modality,
        )
    if row is None:
        return Whose()
    patient, order = row.patient, row.order
    return Whose(
        patient_name=dicom_name(patient.family_name, patient.given_names),
        patient_code=patient.code,
        patient_codes=frozenset(codes),
        patient_birth_date=written_date(patient.birth_date),
        patient_sex=SEXES.get(patient.sex, ""),
        accession_number=order.accession_number,
        study_date=written_date(order.ordered_at),
        study_description=order.procedure,
        modality=order.modality,
    )


def has_codes(declared: Declared) -> bool:
    """Whether accession number and patient are said: an order is found by them."""
    return bool(declared.accession_number and declared.patient_code)


def study_of_pictures(tenant_id: int, declared: Declared, order_id: int | None) -> str:
    """The UID of a study that pictures make: the same for all that name this order, or these codes."""
    if order_id is not None:
        return derived_uid(tenant_id, "study", order_id)
    codes = (declared.accession_number or "", declared.patient_code or "")
    return derived_uid(tenant_id, "study of codes", *(quote(code.strip(), safe="") for code in codes))


def _study(session: Session, tenant_id: int, study_uid: str) -> RadiologyStudy | None:
    return session.scalar(
        select(RadiologyStudy).where(RadiologyStudy.tenant_id == tenant_id, RadiologyStudy.study_uid == study_uid)
    )


def _found(session: Session, tenant_id: int, declared: Declared) -> OrderRow | None:
    if not has_codes(declared):
        return None
    accession_number, code = (declared.accession_number or "").strip(), (declared.patient_code or "").strip()
    order = order_by_codes(session, tenant_id, accession_number, code)
    return order_row(session, tenant_id, order.id) if order is not None else None
