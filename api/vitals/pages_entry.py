"""Vital signs entered by a person."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, text, texts
from api.render import redirect
from api.vitals.pages_kit import REFUSALS, Bedside, Refusal, complaints, show
from api.vitals.reading_routes import enters_as_nurse
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError
from models.kernel.fields import Id
from models.people.stores.patients import get_patient, refuse_merged
from models.people.stores.reads import note_read
from models.vitals.entries import EntryIn
from models.vitals.measures import MEASURES
from models.vitals.stores.entry import enter_reading

router = APIRouter(prefix="/vitals/patients/{patient_id}/new")


@router.get("")
def show_entry(request: Request, patient_id: Id, caller: Bedside) -> Response:
    """The form, with the present minute."""
    return _form(request, caller, patient_id, {"timestamp": _now(caller)})


@router.post("")
def enter(request: Request, patient_id: Id, caller: Bedside, form: Form) -> Response:
    """Store what was measured, or say what is wrong beside the field."""
    try:
        with tenant_work(caller) as session:
            refuse_merged(get_patient(session, caller.tenant_id, patient_id))
            _refuse_unitless(form)
            given = fill(EntryIn, form, patient_id=patient_id)
            who = (caller.user_id, enters_as_nurse(caller))
            enter_reading(session, caller.tenant_id, caller.actor, given, by=who, time_zone=caller.time_zone)
    except REFUSALS as error:
        return _form(request, caller, patient_id, texts(form), error)
    return redirect(request, f"/vitals/patients/{patient_id}", flash="Entered.")


def _refuse_unitless(form: Form) -> None:
    """A person says the unit: 70 is a weight in pounds as well as in kilograms."""
    for measure in MEASURES:
        if measure.unit_field and text(form, measure.name) and not text(form, measure.unit_field):
            raise InvalidError("choose the unit", field=measure.name)


def _now(caller: Caller) -> str:
    try:
        zone = ZoneInfo(caller.time_zone)
    except (KeyError, ValueError):
        zone = ZoneInfo("UTC")
    return datetime.strftime(utc_now().astimezone(zone), "%Y-%m-%dT%H:%M")


def _form(
    request: Request,
    caller: Caller,
    patient_id: int,
    values: Mapping[str, str],
    refused: Refusal | None = None,
) -> Response:
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        patient = get_patient(session, caller.tenant_id, patient_id)
        note_read(session, caller.tenant_id, caller.actor, [patient_id])
    context = {"patient": patient, "values": dict(values), "errors": errors, "measures": MEASURES}
    return show(request, "entry.html", caller, status=status, context=context)
