"""Patients: registered, found, edited, merged; and who looked at them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.people.answers import (
    IdentifierAnswer,
    MergeAnswer,
    PatientAnswer,
    PatientDetailAnswer,
    PatientPage,
    ReadAnswer,
    ReadPage,
)
from models.kernel.fields import Id, Line
from models.people.roles import CLINICAL, REGISTRARS
from models.people.schemas import IdentifierIn, MergeIn, PatientEdit, PatientIn
from models.people.stores import merges, patients, reads

router = APIRouter(prefix="/patients", tags=["patients"])
Reader = Annotated[Caller, Depends(may(*CLINICAL, scope="patients:read"))]
Writer = Annotated[Caller, Depends(may(*REGISTRARS, scope="patients:write"))]
Merger = Annotated[Caller, Depends(may("supervisor", scope="patients:write"))]
Overseer = Annotated[Caller, Depends(may("supervisor", "administrator", scope="people:read"))]
Page = Annotated[int, Query(ge=1, le=100_000)]
Size = Annotated[int, Query(ge=1, le=100)]


@router.get("", responses=errors(401, 403))
def search_patients(
    caller: Reader,
    q: Annotated[Line, Query(description="Words of names, or the beginning of a code or identifier")] = "",
    code: Annotated[Line, Query(description="Exactly this code; a merged one finds what remains")] = "",
    page: Page = 1,
    size: Size = 25,
) -> PatientPage:
    """Patients by code, name or identifier. Whoever is listed was looked at, and the audit trail says so."""
    with tenant_work(caller) as session:
        if code:
            one = patients.find_by_code(session, caller.tenant_id, code)
            found = patients.Found([one] if one and page == 1 else [], 1 if one else 0)
        else:
            found = patients.search_patients(session, caller.tenant_id, q, page=page, size=size)
        reads.note_read(session, caller.tenant_id, caller.actor, [row.id for row in found.patients])
        items = [PatientAnswer.model_validate(row) for row in found.patients]
    return PatientPage(items=items, total=found.total, page=page, size=size)


@router.post("", status_code=201, responses=errors(401, 403, 409))
def create_patient(given: PatientIn, caller: Writer) -> PatientAnswer:
    """Register a patient; 409 when the code is taken."""
    with tenant_work(caller) as session:
        patient = patients.create_patient(session, caller.tenant_id, caller.actor, given)
        return PatientAnswer.model_validate(patient)


@router.get("/{patient_id}", responses=errors(401, 403, 404))
def get_patient(patient_id: Id, caller: Reader) -> PatientDetailAnswer:
    """One patient with their numbers elsewhere; a merged record names the one that remains."""
    with tenant_work(caller) as session:
        patient = patients.get_patient(session, caller.tenant_id, patient_id)
        reads.note_read(session, caller.tenant_id, caller.actor, [patient_id])
        identifiers = patients.list_identifiers(session, caller.tenant_id, patient_id)
        codes = patients.codes_of(session, caller.tenant_id, patient_id)
        return PatientDetailAnswer(
            **PatientAnswer.model_validate(patient).model_dump(),
            identifiers=[IdentifierAnswer.model_validate(row) for row in identifiers],
            merged_codes=sorted(codes - {patient.code}),
        )


@router.put("/{patient_id}", responses=errors(401, 403, 404, 409))
def edit_patient(patient_id: Id, given: PatientEdit, caller: Writer) -> PatientAnswer:
    """The patient as they should be; 409 when somebody changed them since `version` was read."""
    with tenant_work(caller) as session:
        return PatientAnswer.model_validate(
            patients.edit_patient(session, caller.tenant_id, caller.actor, patient_id, given)
        )


@router.post("/{patient_id}/identifiers", status_code=201, responses=errors(401, 403, 404, 409))
def add_patient_identifier(patient_id: Id, given: IdentifierIn, caller: Writer) -> IdentifierAnswer:
    """Note the patient's number in another system; 409 when it is noted for somebody already."""
    with tenant_work(caller) as session:
        return IdentifierAnswer.model_validate(
            patients.add_identifier(session, caller.tenant_id, caller.actor, patient_id, given)
        )


@router.delete("/{patient_id}/identifiers/{identifier_id}", status_code=204, responses=errors(401, 403, 404))
def remove_patient_identifier(patient_id: Id, identifier_id: Id, caller: Writer) -> None:
    """Take a number back."""
    with tenant_work(caller) as session:
        patients.remove_identifier(session, caller.tenant_id, caller.actor, patient_id, identifier_id=identifier_id)


@router.post("/{patient_id}/merge", responses=errors(401, 403, 404, 409))
def merge_patient(patient_id: Id, given: MergeIn, caller: Merger) -> MergeAnswer:
    """Merge another record into this one: what belonged to it moves here, and it points here from now on."""
    with tenant_work(caller) as session:
        kept, moved = merges.merge_patients(session, caller.tenant_id, caller.actor, patient_id, given)
        return MergeAnswer(patient=PatientAnswer.model_validate(kept), moved=moved)


@router.get("/{patient_id}/access-log", responses=errors(401, 403, 404))
def list_patient_reads(patient_id: Id, caller: Overseer, page: Page = 1, size: Size = 50) -> ReadPage:
    """Who looked at the patient, the latest first; asking is noted as well."""
    with tenant_work(caller) as session:
        patients.get_patient(session, caller.tenant_id, patient_id)
        rows, total = reads.list_reads(session, caller.tenant_id, patient_id, page=page, size=size)
        reads.note_read(session, caller.tenant_id, caller.actor, [patient_id], action=reads.LOG_READ)
        items = [ReadAnswer.model_validate(row) for row in rows]
    return ReadPage(items=items, total=total, page=page, size=size)
