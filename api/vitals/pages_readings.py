"""Patients whose vital signs are watched, and how one patient's went: charts, and the readings themselves."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from api.deps import tenant_work
from api.render import redirect
from api.vitals.charts import Span, draw
from api.vitals.desk_answers import values_of
from api.vitals.pages_kit import Bedside, show
from models.alerts.rules import Threshold
from models.alerts.stores.limits import in_force
from models.kernel.clock import utc_now
from models.kernel.fields import Id, Line
from models.people.stores import patients
from models.people.stores.reads import note_read
from models.vitals.cursors import place
from models.vitals.stores.lists import ReadingFilter, list_readings
from models.vitals.stores.trends import load_latest, load_trends, step_between
from models.vitals.stores.watched import list_watched

PAGE_SIZE, READINGS = 25, 15
SPANS = {1: "24 hours", 7: "7 days", 30: "30 days", 365: "a year"}
router = APIRouter(prefix="/vitals/patients")


@router.get("")
def watched_patients(
    request: Request,
    caller: Bedside,
    q: Annotated[Line, Query()] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """Those with a device; with words to search for, any patient."""
    with tenant_work(caller) as session:
        if q:
            found = patients.search_patients(session, caller.tenant_id, q, page=page, size=PAGE_SIZE)
            ids, total = [one.id for one in found.patients], found.total
            rows = list_watched(session, caller.tenant_id, patient_ids=ids)
        else:
            rows = list_watched(session, caller.tenant_id, limit=PAGE_SIZE + 1, offset=(page - 1) * PAGE_SIZE)
            total = (page - 1) * PAGE_SIZE + len(rows)
            rows = rows[:PAGE_SIZE]
        note_read(session, caller.tenant_id, caller.actor, [row.patient.id for row in rows])
    context = {
        "rows": rows,
        "q": q,
        "page": page,
        "size": PAGE_SIZE,
        "total": total,
        "page_address": lambda number: "/vitals/patients?" + urlencode({"q": q, "page": number}),
    }
    return show(request, "patients.html", caller, context=context)


@router.get("/{patient_id}")
def patient_readings(
    request: Request,
    patient_id: Id,
    caller: Bedside,
    days: Annotated[int, Query(ge=1, le=3660)] = 7,
    cursor: Annotated[Line, Query()] = "",
) -> Response:
    """One patient's charts and readings; that they were looked at is noted."""
    now = utc_now()
    since = now - timedelta(days=days)
    with tenant_work(caller) as session:
        patient = patients.get_patient(session, caller.tenant_id, patient_id)
        if patient.merged_into_id is not None:
            return redirect(request, f"/vitals/patients/{patient.merged_into_id}")
        trends = load_trends(session, caller.tenant_id, patient_id, since=since, until=now)
        step = step_between(since, now)
        latest = load_latest(session, caller.tenant_id, patient_id, trends, step=step)
        by_measure: dict[str, list[Threshold]] = {}
        for one in in_force(session, caller.tenant_id, patient_id):
            by_measure.setdefault(one.limits.measure, []).append(one.limits)
        wanted = ReadingFilter(patient_id=patient_id)
        rows, following = list_readings(session, caller.tenant_id, wanted, after=place(cursor), limit=READINGS)
        note_read(session, caller.tenant_id, caller.actor, [patient_id])
        shown = [(found, values_of(found.row)) for found in rows]
    context = {
        "patient": patient,
        "charts": draw(trends, Span(since, now, caller.time_zone), by_measure, latest),
        "days": days,
        "spans": SPANS,
        "rows": shown,
        "is_older": bool(cursor),
        "following": following.told() if following else "",
    }
    return show(request, "readings.html", caller, context=context)
