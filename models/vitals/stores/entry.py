"""Vital signs that a person enters: by the rules of the devices' door, but refused at once instead of held."""

from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError
from models.kernel.pipeline import Pipeline
from models.people.stores.patients import get_patient, refuse_merged
from models.vitals.entries import EntryIn
from models.vitals.measures import BY_NAME
from models.vitals.readings import Reading, parse
from models.vitals.rules import BACKFILL_DAYS, Finding, findings
from models.vitals.stores.alarming import New, alarm
from models.vitals.tables import VitalSign, VitalsPolicy

SAID = {
    "in_the_future": "lies in the future",
    "older_than_backfill_limit": "lies before the earliest time readings are taken for",
    "systolic_not_over_diastolic": "must be over the diastolic pressure",
}


def enter_reading(
    session: Session, tenant_id: int, actor: Actor, given: EntryIn, *, by: tuple[int, bool], time_zone: str
) -> tuple[VitalSign, bool]:
    """The vital sign and whether it is new: the same entry of the same person again is the first one.

    `by` is the user, and whether as a nurse. InvalidError names the field a rule is about.
    """
    now = utc_now()
    reading = parse(given.as_given(now), zone=_zone(time_zone))
    days = session.scalar(select(VitalsPolicy.backfill_days).where(VitalsPolicy.tenant_id == tenant_id))
    for finding in findings(reading, received_at=now, backfill_days=days or BACKFILL_DAYS):
        raise InvalidError(_told(finding), field=finding.field)
    # Locked for change: two entries for one patient come one after the other, and no merge between.
    patient = get_patient(session, tenant_id, given.patient_id, lock=True)
    refuse_merged(patient)
    user_id, is_nurse = by
    column = VitalSign.recorded_by_nurse if is_nurse else VitalSign.recorded_by
    there = session.scalar(
        select(VitalSign).where(
            VitalSign.tenant_id == tenant_id,
            VitalSign.patient_id == patient.id,
            VitalSign.recorded_at == reading.recorded_at,
            VitalSign.data_source == "manual",
            VitalSign.content == reading.content,
            column == user_id,
        )
    )
    if there is not None:
        return there, False
    row = VitalSign(tenant_id=tenant_id, patient_id=patient.id, received_at=now, data_source="manual")
    row.recorded_by, row.recorded_by_nurse = (None, user_id) if is_nurse else (user_id, None)
    _fill(row, reading)
    session.add(row)
    session.flush()
    session.refresh(row)
    pipeline = Pipeline(session)
    if alarm(pipeline, tenant_id, [New(row.id, patient.id, now, reading)]):
        pipeline.send()
        session.refresh(row)  # it says how many alerts it opened or worsened
    changes = {"patient_id": patient.id, "recorded_at": reading.recorded_at, "measures": sorted(reading.values)}
    record(session, tenant_id, actor, Action("vital_sign.enter", "vital_sign", row.id, changes))
    return row, True


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError):
        return ZoneInfo("UTC")


def _told(finding: Finding) -> str:
    measure = BY_NAME.get(finding.field)
    if finding.rule == "impossible_value" and measure is not None:
        return f"is not between {measure.lowest} and {measure.highest} {measure.canonical}: check value and unit"
    return SAID[finding.rule]


def _fill(row: VitalSign, reading: Reading) -> None:
    row.recorded_at, row.content, row.raw = reading.recorded_at, reading.content, reading.raw
    for name in ("notes", "consciousness", "supplemental_oxygen"):
        setattr(row, name, getattr(reading, name))
    for name, measured in reading.values.items():
        setattr(row, name, measured.canonical)
        if measured.unit is not None:
            setattr(row, f"{name}_given", measured.given)
            setattr(row, f"{name}_unit", measured.unit)
