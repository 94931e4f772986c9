"""What a tenant sets about alerts: the ladder, whom it tells, and limits of its own or of one patient's."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from api.alerts.answers import ContactAnswer, PolicyAnswer, ReachAnswer, ThresholdAnswer
from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.runs import start_delivering
from models.alerts.schemas import ContactIn, PolicyIn, ThresholdIn
from models.alerts.stores import limits, setup
from models.kernel.fields import Code, Id
from models.people.roles import ALERT_DECIDERS, CLINICAL
from models.people.stores.patients import get_patient
from models.people.stores.reads import note_read

router = APIRouter(prefix="/alerts", tags=["alerts"])
Looker = Annotated[Caller, Depends(may(*CLINICAL, "administrator", scope="instruments:read"))]
Keeper = Annotated[Caller, Depends(may("supervisor", "administrator", scope="instruments:write"))]
Reader = Annotated[Caller, Depends(may(*CLINICAL, scope="patients:read"))]
Carer = Annotated[Caller, Depends(may(*ALERT_DECIDERS, scope="patients:write"))]


@router.get("/policy", responses=errors(401, 403))
def get_alert_policy(caller: Looker) -> PolicyAnswer:
    """The ladder in force."""
    with tenant_work(caller) as session:
        return _policy(session, caller.tenant_id)


@router.put("/policy", responses=errors(401, 403, 409))
def set_alert_policy(given: PolicyIn, caller: Keeper) -> PolicyAnswer:
    """Replace the ladder; 409 when somebody else changed it since `version` was read."""
    with tenant_work(caller) as session:
        setup.set_policy(session, caller.tenant_id, caller.actor, given)
        return _policy(session, caller.tenant_id)


@router.get("/reach", responses=errors(401, 403))
def show_alert_reach(caller: Looker) -> list[ReachAnswer]:
    """Whom each step of the ladder would tell now; a step with `is_anybody` false is passed over."""
    with tenant_work(caller) as session:
        return [ReachAnswer.model_validate(one) for one in setup.reach(session, caller.tenant_id)]


@router.get("/contacts", responses=errors(401, 403))
def list_alert_contacts(caller: Looker) -> list[ContactAnswer]:
    """Everybody the ladder can tell."""
    with tenant_work(caller) as session:
        return [ContactAnswer.model_validate(row) for row in setup.list_contacts(session, caller.tenant_id)]


@router.post("/contacts", status_code=201, responses=errors(401, 403, 409))
def add_alert_contact(given: ContactIn, caller: Keeper) -> ContactAnswer:
    """Have somebody told; 409 when the role has this address already."""
    with tenant_work(caller) as session:
        contact = setup.add_contact(session, caller.tenant_id, caller.actor, given)
        return ContactAnswer.model_validate(contact)


@router.delete("/contacts/{contact_id}", status_code=204, responses=errors(401, 403, 404))
def remove_alert_contact(contact_id: Id, caller: Keeper) -> None:
    """Have nobody told at this address any more."""
    with tenant_work(caller) as session:
        setup.remove_contact(session, caller.tenant_id, caller.actor, contact_id)


@router.post("/contacts/{contact_id}/try", status_code=202, responses=errors(401, 403, 404))
def try_alert_contact(contact_id: Id, caller: Keeper) -> None:
    """Mail this contact a test that says nothing is wrong; its delivery is in the outbox."""
    with tenant_work(caller) as session:
        setup.try_contact(session, caller.tenant_id, caller.actor, contact_id)
    start_delivering(caller)


@router.get("/thresholds", responses=errors(401, 403, 404))
def list_alert_thresholds(caller: Reader, patient_id: Id | None = None) -> list[ThresholdAnswer]:
    """The limits in force, with their sources: the tenant's, or those for one patient (the reading is noted)."""
    with tenant_work(caller) as session:
        if patient_id is not None:
            get_patient(session, caller.tenant_id, patient_id)
            note_read(session, caller.tenant_id, caller.actor, [patient_id])
        return _thresholds(session, caller.tenant_id, patient_id)


@router.put("/thresholds", responses=errors(401, 403, 404, 409))
def set_alert_threshold(given: ThresholdIn, caller: Carer) -> ThresholdAnswer:
    """Set one kind's limits, the tenant's or one patient's; 422 when critical lies before warning.

    409 where `version` is given and somebody else changed them since it was read.
    """
    with tenant_work(caller) as session:
        limits.set_threshold(session, caller.tenant_id, caller.actor, given)
        [one] = [one for one in _thresholds(session, caller.tenant_id, given.patient_id) if one.kind == given.kind]
        return one


@router.delete("/thresholds/{kind}", status_code=204, responses=errors(401, 403, 404))
def remove_alert_threshold(kind: Code, caller: Carer, patient_id: Id | None = None) -> None:
    """Go back to the usual limits of one kind; a patient's go back to the laboratory's."""
    with tenant_work(caller) as session:
        limits.remove_threshold(session, caller.tenant_id, caller.actor, kind, patient_id=patient_id)


def _policy(session: Session, tenant_id: int) -> PolicyAnswer:
    values = setup.as_values(setup.load_policy(session, tenant_id))
    return PolicyAnswer(version=setup.policy_version(session, tenant_id), **values)


def _thresholds(session: Session, tenant_id: int, patient_id: int | None) -> list[ThresholdAnswer]:
    names = [name for name in ThresholdAnswer.model_fields if name not in ("is_own", "version")]
    return [
        ThresholdAnswer(
            **{name: getattr(one.limits, name) for name in names},
            # For a patient the laboratory's own limits are own ones too.
            is_own=one.own is not None or not one.is_inherited_usual,
            version=one.version,
        )
        for one in limits.in_force(session, tenant_id, patient_id)
    ]
