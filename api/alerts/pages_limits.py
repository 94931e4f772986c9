"""Limits per vital sign, the laboratory's and one patient's: what holds, where it comes from, and changing it."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from api.alerts.pages_kit import is_stale, show
from api.deps import Caller, page, tenant_work
from api.forms import Form, fill, text, texts
from api.instruments.meanwhile_view import meanwhile_view
from api.instruments.pages_kit import REFUSALS, Refusal, complaints
from api.render import redirect
from models.alerts.rules import BY_KIND
from models.alerts.schemas import ThresholdIn
from models.alerts.stores import limits
from models.instruments.stores.meanwhile import changed_since
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.fields import Id
from models.people.roles import ALERT_DECIDERS, CLINICAL
from models.people.stores.patients import get_patient
from models.people.stores.reads import note_read

router = APIRouter(prefix="/alerts")
Reader = Annotated[Caller, Depends(page(*CLINICAL))]
Decider = Annotated[Caller, Depends(page(*ALERT_DECIDERS))]
Kind = Annotated[str, Path(max_length=64)]


@router.get("/limits")
def laboratory_limits(request: Request, caller: Reader) -> Response:
    """Every kind's limits in the laboratory, with their sources."""
    return _list(request, caller, None)


@router.get("/patients/{patient_id}/limits")
def patient_limits(request: Request, patient_id: Id, caller: Reader) -> Response:
    """Every kind's limits for one patient; that they were looked at is noted."""
    return _list(request, caller, patient_id)


@router.get("/limits/{kind}")
def show_laboratory_limit(request: Request, kind: Kind, caller: Decider) -> Response:
    """The form for one kind's limits."""
    return _form(request, caller, kind, None)


@router.get("/patients/{patient_id}/limits/{kind}")
def show_patient_limit(request: Request, patient_id: Id, kind: Kind, caller: Decider) -> Response:
    """The form for one kind's limits of one patient."""
    return _form(request, caller, kind, patient_id)


@router.post("/limits/{kind}")
def set_laboratory_limit(request: Request, kind: Kind, caller: Decider, form: Form) -> Response:
    """Set them, turn the kind off, or go back to the usual ones."""
    return _set(request, caller, kind, None, form)


@router.post("/patients/{patient_id}/limits/{kind}")
def set_patient_limit(request: Request, patient_id: Id, kind: Kind, caller: Decider, form: Form) -> Response:
    """Set them for one patient, turn the kind off, or go back to the laboratory's."""
    return _set(request, caller, kind, patient_id, form)


def _set(request: Request, caller: Caller, kind: str, patient_id: int | None, form: Form) -> Response:
    _known(kind)
    try:
        given = fill(ThresholdIn, form, kind=kind, patient_id=patient_id, is_on="is_on" in form)
        if given.version is None:
            raise InvalidError("is needed", field="version")
        with tenant_work(caller) as session:
            if text(form, "deed") == "usual":
                wanted = {"patient_id": patient_id, "version": given.version}
                limits.remove_threshold(session, caller.tenant_id, caller.actor, kind, **wanted)
                said = "The usual limits hold again." if patient_id is None else "The laboratory's limits hold again."
            else:
                limits.set_threshold(session, caller.tenant_id, caller.actor, given)
                said = "Changed." if given.is_on else "Changed: it does not alarm any more."
    except REFUSALS as error:
        return _form(request, caller, kind, patient_id, typed=texts(form), refused=error)
    return redirect(request, f"{_address(patient_id)}#{kind}", flash=said)


def _list(request: Request, caller: Caller, patient_id: int | None) -> Response:
    with tenant_work(caller) as session:
        patient = get_patient(session, caller.tenant_id, patient_id) if patient_id is not None else None
        if patient is not None and patient.merged_into_id is not None:
            return redirect(request, _address(patient.merged_into_id))
        note_read(session, caller.tenant_id, caller.actor, [patient_id] if patient_id is not None else [])
        rows = limits.in_force(session, caller.tenant_id, patient_id)
    context = {
        "patient": patient,
        "rows": rows,
        "address": _address(patient_id),
        "may_decide": caller.has(*ALERT_DECIDERS),
    }
    return show(request, "limits.html", caller, context=context)


def _form(
    request: Request,
    caller: Caller,
    kind: str,
    patient_id: int | None,
    *,
    typed: Mapping[str, str] | None = None,
    refused: Refusal | None = None,
) -> Response:
    _known(kind)
    status, errors = complaints(refused)
    meanwhile = None
    with tenant_work(caller) as session:
        patient = get_patient(session, caller.tenant_id, patient_id) if patient_id is not None else None
        note_read(session, caller.tenant_id, caller.actor, [patient_id] if patient_id is not None else [])
        (row,) = (one for one in limits.in_force(session, caller.tenant_id, patient_id) if one.limits.kind == kind)
        values: dict[str, Any] = _values(row) if typed is None else dict(typed)
        if is_stale(refused) and row.own is not None and str(values.get("version", "")).isdigit():
            found = changed_since(session, caller.tenant_id, "alert_threshold", row.own.id, int(str(values["version"])))
            meanwhile = meanwhile_view(found, values | {"is_on": "is_on" in values})
            values |= _shown(meanwhile.merged) if meanwhile else {}
        if is_stale(refused):  # after a mistake the form is still about what it was opened with
            values["version"] = row.version
    context = {
        "patient": patient,
        "row": row,
        "values": values,
        "errors": errors,
        "meanwhile": meanwhile,
        "address": _address(patient_id),
    }
    return show(request, "limit_form.html", caller, status=status, context=context)


def _known(kind: str) -> None:
    if kind not in BY_KIND:
        raise NotFoundError("no such kind of alert")


def _address(patient_id: int | None) -> str:
    return "/alerts/limits" if patient_id is None else f"/alerts/patients/{patient_id}/limits"


def _values(row: limits.InForce) -> dict[str, Any]:
    """What the form begins with: the own limits alone, for what is left empty is inherited."""
    own = row.own
    values = {name: getattr(own, name) if own is not None else None for name in ("warning", "critical", "margin")}
    return _shown(values | {"is_on": row.limits.is_on}) | {"version": row.version}


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the fields hold them."""
    return {
        name: "true" if value is True else "" if value in (False, None) else value for name, value in values.items()
    }
