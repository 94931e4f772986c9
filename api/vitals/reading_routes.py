"""Readings: listed, entered by people, and those a rule holds."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.vitals.desk_answers import (
    EnteredAnswer,
    HeldReadingAnswer,
    HeldReadingDetail,
    HeldReadingPage,
    ReadingAnswer,
    ReadingPage,
    ReleasedReadingAnswer,
)
from models.kernel.fields import Id, Line
from models.people.roles import BEDSIDE
from models.people.stores.patients import get_patient
from models.people.stores.reads import note_read
from models.vitals.cursors import place
from models.vitals.entries import DataSource, EntryIn, HeldDecision
from models.vitals.stores import entry, held
from models.vitals.stores.lists import ReadingFilter, list_readings

router = APIRouter(prefix="/vitals", tags=["vital signs"])
Reader = Annotated[Caller, Depends(may(*BEDSIDE, scope="vitals:read"))]
Writer = Annotated[Caller, Depends(may(*BEDSIDE, scope="vitals:write"))]
Decider = Annotated[Caller, Depends(may("doctor", "nurse", "supervisor", scope="vitals:write"))]


@router.get("", responses=errors(401, 403, 404))
def list_vital_signs(  # noqa: PLR0913 - one parameter for each filter
    caller: Reader,
    patient_id: Id | None = None,
    device_id: Annotated[Line, Query(description="What the device calls itself")] = "",
    data_source: DataSource | None = None,
    since: Annotated[AwareDatetime | None, Query(alias="from", description="Measured at or after")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Measured before")] = None,
    cursor: Annotated[Line, Query(description="`next_cursor` of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> ReadingPage:
    """Readings, of a patient or device by their time and of everybody by arrival, the newest first.

    Whoever's readings are listed was looked at, and the audit trail says so.
    """
    with tenant_work(caller) as session:
        if patient_id is not None:
            patient = get_patient(session, caller.tenant_id, patient_id)
            patient_id = patient.merged_into_id or patient.id
        wanted = ReadingFilter(patient_id, device_id, data_source, since, until)
        rows, following = list_readings(session, caller.tenant_id, wanted, after=place(cursor), limit=limit)
        seen = [found.row.patient_id for found in rows] if patient_id is None else [patient_id]
        note_read(session, caller.tenant_id, caller.actor, seen)
        items = [ReadingAnswer.of(found) for found in rows]
    return ReadingPage(items=items, next_cursor=following.told() if following else None)


@router.post("", status_code=201, responses=errors(401, 403, 404, 409))
def enter_vital_signs(given: EntryIn, caller: Writer, response: Response) -> EnteredAnswer:
    """Vital signs a person measured; 422 names the field a rule refuses. The same again answers 200, as at first."""
    with tenant_work(caller) as session:
        who = (caller.user_id, enters_as_nurse(caller))
        row, is_new = entry.enter_reading(
            session, caller.tenant_id, caller.actor, given, by=who, time_zone=caller.time_zone
        )
        answer = EnteredAnswer(vital_sign_id=row.id, alerts_triggered=row.alerts_triggered, timestamp=row.recorded_at)
    response.status_code = 201 if is_new else 200
    return answer


@router.get("/held", responses=errors(401, 403))
def list_held_readings(
    caller: Reader,
    is_open: Annotated[bool, Query(alias="open", description="false: those decided")] = True,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    size: Annotated[int, Query(ge=1, le=100)] = 50,
) -> HeldReadingPage:
    """Readings a rule holds, the newest first, with the rules and no values."""
    with tenant_work(caller) as session:
        offset = (page - 1) * size
        rows, total = held.list_held(session, caller.tenant_id, is_open=is_open, limit=size, offset=offset)
        items = [HeldReadingAnswer.of(row) for row in rows]
    return HeldReadingPage(items=items, total=total, page=page, size=size)


@router.get("/held/{held_id}", responses=errors(401, 403, 404))
def get_held_reading(held_id: Id, caller: Reader) -> HeldReadingDetail:
    """One held reading with what was received. The reading is noted."""
    with tenant_work(caller) as session:
        found = held.get_held(session, caller.tenant_id, held_id)
        if found.patient_id is not None:
            note_read(session, caller.tenant_id, caller.actor, [found.patient_id])
        return HeldReadingDetail.of(found)


@router.post("/held/{held_id}/release", responses=errors(401, 403, 404, 409))
def release_held_reading(held_id: Id, given: HeldDecision, caller: Decider) -> ReleasedReadingAnswer:
    """Let it in with the rules that hold it waived; 409 when it is decided already or was nobody's."""
    with tenant_work(caller) as session:
        _, made = held.release_held(session, caller.tenant_id, caller.actor, held_id, given)
    return ReleasedReadingAnswer(vital_sign_id=made)


@router.post("/held/{held_id}/discard", responses=errors(401, 403, 404, 409))
def discard_held_reading(held_id: Id, given: HeldDecision, caller: Decider) -> HeldReadingAnswer:
    """It never becomes a vital sign; what was received stays."""
    with tenant_work(caller) as session:
        held.discard_held(session, caller.tenant_id, caller.actor, held_id, given)
        return HeldReadingAnswer.of(held.get_held(session, caller.tenant_id, held_id))


def enters_as_nurse(caller: Caller) -> bool:
    """Whether an entry stands under `recorded_by_nurse`: a nurse's who is no doctor."""
    return "nurse" in caller.roles and "doctor" not in caller.roles
