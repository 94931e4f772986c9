"""Patients of one tenant: registered, edited, found. A merged record leads to the one that remains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, NotFoundError
from models.kernel.tables import Tenant
from models.people.rules import refuse_impossible_birth, refuse_stale
from models.people.schemas import IdentifierIn, PatientEdit, PatientIn
from models.people.tables import Patient, PatientIdentifier

EDITED = ("code", "family_name", "given_names", "sex", "birth_date", "email", "is_report_mailed")


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search, and how many there are in all."""

    patients: Sequence[Patient]
    total: int


def get_patient(session: Session, tenant_id: int, patient_id: int, *, lock: bool = False) -> Patient:
    """The record with this id, merged or not; NotFoundError when the tenant has none."""
    wanted = select(Patient).where(Patient.tenant_id == tenant_id, Patient.id == patient_id)
    patient = session.scalar(wanted.with_for_update() if lock else wanted)
    if patient is None:
        raise NotFoundError(f"no patient {patient_id}", resource="patient", resource_id=patient_id)
    return patient


def living_patient(session: Session, tenant_id: int, patient_id: int) -> Patient:
    """The record, for something new to refer to: no merge can move it away before the transaction ends.

    ConflictError names the record that remains when this one was merged.
    """
    wanted = select(Patient).where(Patient.tenant_id == tenant_id, Patient.id == patient_id)
    patient = session.scalar(wanted.with_for_update(read=True, key_share=True))
    if patient is None:
        raise NotFoundError(f"no patient {patient_id}", resource="patient", resource_id=patient_id)
    refuse_merged(patient)
    return patient


def find_by_code(session: Session, tenant_id: int, code: str) -> Patient | None:
    """The living record under this code: where it was merged, the one that remains."""
    written = aliased(Patient)
    wanted = (
        select(Patient)
        .join(
            written,
            (written.tenant_id == Patient.tenant_id)
            & (func.coalesce(written.merged_into_id, written.id) == Patient.id),
        )
        .where(written.tenant_id == tenant_id, written.code == code.strip())
    )
    return session.scalar(wanted)


def codes_of(session: Session, tenant_id: int, patient_id: int) -> set[str]:
    """Every code this patient is or was known by: their own, and those of records merged into theirs."""
    wanted = select(Patient.code).where(
        Patient.tenant_id == tenant_id, or_(Patient.id == patient_id, Patient.merged_into_id == patient_id)
    )
    return set(session.scalars(wanted))


def search_patients(session: Session, tenant_id: int, text: str, *, page: int = 1, size: int = 25) -> Found:
    """Living records whose code, identifier or names fit every word of `text`; all of them when it is empty."""
    conditions = [Patient.tenant_id == tenant_id, Patient.merged_into_id.is_(None)]
    conditions += [_fits(tenant_id, word) for word in text.split()[:6]]
    total = session.scalar(select(func.count()).select_from(Patient).where(*conditions)) or 0
    wanted = select(Patient).where(*conditions).order_by(Patient.family_name, Patient.given_names, Patient.id)
    return Found(session.scalars(wanted.limit(size).offset((page - 1) * size)).all(), total)


def fits_patient(session: Session, tenant_id: int, patient_id: int, text: str) -> bool:
    """Whether a search for `text` finds this living record."""
    conditions = [_fits(tenant_id, word) for word in text.split()[:6]]
    is_it = (Patient.tenant_id == tenant_id, Patient.id == patient_id, Patient.merged_into_id.is_(None))
    return session.scalar(select(Patient.id).where(*is_it, *conditions)) is not None


def create_patient(session: Session, tenant_id: int, actor: Actor, given: PatientIn) -> Patient:
    """Register a patient; ConflictError when the code is taken."""
    _refuse_birth(session, tenant_id, given)
    patient = Patient(tenant_id=tenant_id, **given.model_dump())
    _write(session, patient)
    record(session, tenant_id, actor, Action("patient.create", "patient", patient.id, {"code": patient.code}))
    return patient


def edit_patient(session: Session, tenant_id: int, actor: Actor, patient_id: int, given: PatientEdit) -> Patient:
    """Change a patient; ConflictError when the page was stale, the code is taken, or the record was merged."""
    patient = get_patient(session, tenant_id, patient_id, lock=True)
    refuse_merged(patient)
    refuse_stale(seen=given.version, present=patient.version, what=f"patient {patient_id}")
    _refuse_birth(session, tenant_id, given)
    changes: dict[str, Any] = {}
    for field in EDITED:
        before, after = getattr(patient, field), getattr(given, field)
        if before != after:
            changes[field] = [_plain(before), _plain(after)]
            setattr(patient, field, after)
    if changes:
        patient.version += 1
        _write(session, patient)
        record(session, tenant_id, actor, Action("patient.edit", "patient", patient_id, changes))
    return patient


def list_identifiers(session: Session, tenant_id: int, patient_id: int) -> Sequence[PatientIdentifier]:
    """A patient's numbers in other systems."""
    wanted = select(PatientIdentifier).where(
        PatientIdentifier.tenant_id == tenant_id, PatientIdentifier.patient_id == patient_id
    )
    return session.scalars(wanted.order_by(PatientIdentifier.system, PatientIdentifier.value)).all()


def add_identifier(
    session: Session, tenant_id: int, actor: Actor, patient_id: int, given: IdentifierIn
) -> PatientIdentifier:
    """Note a patient's number in another system; ConflictError when it already belongs to somebody."""
    refuse_merged(get_patient(session, tenant_id, patient_id, lock=True))
    identifier = PatientIdentifier(tenant_id=tenant_id, patient_id=patient_id, system=given.system, value=given.value)
    try:
        with session.begin_nested():
            session.add(identifier)
    except IntegrityError:
        raise ConflictError("this number is already noted for a patient", field="value") from None
    changes = {"identifier": identifier.id, "system": given.system}
    record(session, tenant_id, actor, Action("patient.identifier_add", "patient", patient_id, changes))
    return identifier


def remove_identifier(session: Session, tenant_id: int, actor: Actor, patient_id: int, *, identifier_id: int) -> None:
    """Take a number back; NotFoundError when this patient has no such one."""
    wanted = select(PatientIdentifier).where(
        PatientIdentifier.tenant_id == tenant_id,
        PatientIdentifier.patient_id == patient_id,
        PatientIdentifier.id == identifier_id,
    )
    identifier = session.scalar(wanted.with_for_update())
    if identifier is None:
        raise NotFoundError(
            f"patient {patient_id} has no identifier {identifier_id}", resource="patient", resource_id=patient_id
        )
    session.delete(identifier)
    session.flush()
    changes = {"identifier": identifier_id, "system": identifier.system}
    record(session, tenant_id, actor, Action("patient.identifier_remove", "patient", patient_id, changes))


def refuse_merged(patient: Patient) -> None:
    """ConflictError for a record that was merged into another: changes belong there."""
    if patient.merged_into_id is not None:
        raise ConflictError(f"patient {patient.id} was merged into {patient.merged_into_id}; change that one")


def _fits(tenant_id: int, word: str) -> ColumnElement[bool]:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    merged = aliased(Patient)
    by_merged_code = select(merged.merged_into_id).where(
        merged.tenant_id == tenant_id, merged.merged_into_id.is_not(None), merged.code.ilike(f"{escaped}%")
    )
    by_identifier = select(PatientIdentifier.patient_id).where(
        PatientIdentifier.tenant_id == tenant_id, PatientIdentifier.value.ilike(f"{escaped}%")
    )
    return or_(
        Patient.code.ilike(f"{escaped}%"),
        Patient.family_name.ilike(f"%{escaped}%"),
        Patient.given_names.ilike(f"%{escaped}%"),
        Patient.id.in_(by_merged_code),
        Patient.id.in_(by_identifier),
    )


def _refuse_birth(session: Session, tenant_id: int, given: PatientIn) -> None:
    zone = session.scalar(select(Tenant.time_zone).where(Tenant.id == tenant_id)) or "UTC"
    refuse_impossible_birth(given.birth_date, utc_now().astimezone(ZoneInfo(zone)).date())


def _write(session: Session, patient: Patient) -> None:
    try:
        with session.begin_nested():
            session.add(patient)
    except IntegrityError:
        raise ConflictError("a patient with this code exists already", field="code") from None


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool) else str(value)
