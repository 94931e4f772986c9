"""The study and the series an image is the first of, made now or meanwhile by another."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.imaging.ports import Instance
from models.imaging.rules import NotLetInError, dicom_date
from models.imaging.tables import RadiologyOrder, RadiologySeries, RadiologyStudy
from models.people.tables import Patient


def make_study(session: Session, tenant_id: int, found: Instance, order: RadiologyOrder | None) -> int:
    """The study's id, made now or meanwhile by another."""
    patient = session.get(Patient, (tenant_id, order.patient_id)) if order is not None else None
    values = {
        "tenant_id": tenant_id,
        "study_uid": found.study_uid,
        "study_date": dicom_date(found.study_date),
        "study_time": found.study_time,
        "study_description": found.study_description or (order.procedure if order is not None else ""),
        "study_id": found.study_id,
        "modality": found.modality or (order.modality if order is not None else ""),
        "accession_number": found.accession_number or (order.accession_number if order is not None else ""),
        "referring_physician": found.referring_physician,
        "patient_name": found.patient_name or (f"{patient.family_name}^{patient.given_names}" if patient else ""),
        "patient_code": found.patient_code,
        "patient_birth_date": found.patient_birth_date,
        "patient_sex": found.patient_sex,
    }
    study = RadiologyStudy
    made = session.scalar(insert(study).values(values).on_conflict_do_nothing().returning(study.id))
    if made is not None:
        return made
    row = session.execute(
        select(study.id, study.patient_code).where(study.tenant_id == tenant_id, study.study_uid == found.study_uid)
    ).one()
    if row.patient_code != found.patient_code:
        raise NotLetInError("study_of_another")
    return int(row.id)


def make_series(session: Session, tenant_id: int, study_id: int, found: Instance) -> tuple[int, int]:
    """The series' id, and 1 when it was made now."""
    series = RadiologySeries
    values = {
        "tenant_id": tenant_id,
        "study_id": study_id,
        "series_uid": found.series_uid,
        "series_number": found.series_number,
        "series_description": found.series_description,
        "modality": found.modality,
        "body_part": found.body_part,
    }
    made = session.scalar(insert(series).values(values).on_conflict_do_nothing().returning(series.id))
    if made is not None:
        return made, 1
    row = session.execute(
        select(series.id, series.study_id).where(series.tenant_id == tenant_id, series.series_uid == found.series_uid)
    ).one()
    if row.study_id != study_id:
        raise NotLetInError("series_elsewhere")
    return int(row.id), 0
