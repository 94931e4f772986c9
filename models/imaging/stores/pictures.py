"""Whose a picture is: a JPEG says nothing of patient or study, its order or its study does."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.imaging.rules import SEXES, Declared, dicom_name, refuse_other_patient, written_date
from models.imaging.stores.orders import order_row
from models.imaging.tables import RadiologyStudy
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


def whose(session: Session, tenant_id: int, study_uid: str | None, order_id: int | None) -> Whose:
    """By the study where it is there, else by the order; NotFoundError for an order that is not."""
    row = order_row(session, tenant_id, order_id) if order_id is not None else None
    if row is not None and row.study is not None and study_uid is None:
        study_uid = row.study.study_uid
    codes = codes_of(session, tenant_id, row.patient.id) if row is not None else set()
    study = None
    if study_uid is not None:
        study = session.scalar(
            select(RadiologyStudy).where(RadiologyStudy.tenant_id == tenant_id, RadiologyStudy.study_uid == study_uid)
        )
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
