"""What a tenant sets about alerts: the ladder, whom it tells, and limits of its own or of one patient's."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from api.alerts.answers import ContactAnswer, PolicyAnswer, ThresholdAnswer
from api.deps import Caller, may, tenant_work
from api.errors import errors
from models.alerts.rules import adjusted
from models.alerts.schemas import ContactIn, PolicyIn, StepIn, ThresholdIn
from models.alerts.stores import setup
from models.kernel.fields import Id
from models.people.roles import CLINICAL
from models.people.stores.patients import get_patient
from models.people.stores.reads import note_read

router = APIRouter(prefix="/alerts", tags=["alerts"])
Looker = Annotated[Caller, Depends(may(*CLINICAL, "administrator", scope="instruments:read"))]
Keeper = Annotated[Caller, Depends(may("supervisor", "administrator", scope="instruments:write"))]
Reader = Annotated[Caller, Depends(may(*CLINICAL, scope="patients:read"))]
Carer = Annotated[Caller, Depends(may("doctor", "supervisor", scope="patients:write"))]


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


@router.get("/thresholds", responses=errors(401, 403, 404))
def list_alert_thresholds(caller: Reader, patient_id: Id | None = None) -> list[ThresholdAnswer]:
    """The limits in force, with their sources: the tenant's, or those for one patient (the reading is noted)."""
    with tenant_work(caller) as session:
        if patient_id is not None:
            get_patient(session, caller.tenant_id, patient_id)
            note_read(session, caller.tenant_id, caller.actor, [patient_id])
        return _thresholds(session, caller.tenant_id, patient_id)


@router.put("/thresholds", responses=errors(401, 403, 404))
def set_alert_threshold(given: ThresholdIn, caller: Carer) -> ThresholdAnswer:
    """Set one kind's limits, the tenant's or one patient's; 422 when critical lies before warning."""
    with tenant_work(caller) as session:
        setup.set_threshold(session, caller.tenant_id, caller.actor, given)
        [one] = [one for one in _thresholds(session, caller.tenant_id, given.patient_id) if one.kind == given.kind]
        return one


def _policy(session: Session, tenant_id: int) -> PolicyAnswer:
    policy = setup.load_policy(session, tenant_id)
    return PolicyAnswer(
        version=setup.policy_version(session, tenant_id),
        ladder=[
            StepIn.model_validate({"after_minutes": step.after_minutes, "roles": list(step.roles)})
            for step in policy.ladder
        ],
        question_minutes=policy.question_minutes,
        critical_skips_question=policy.critical_skips_question,
    )


def _thresholds(session: Session, tenant_id: int, patient_id: int | None) -> list[ThresholdAnswer]:
    rows = list(setup.list_thresholds(session, tenant_id))
    if patient_id is not None:
        rows += setup.list_thresholds(session, tenant_id, patient_id)
    own = {row.kind for row in rows}
    names = [name for name in ThresholdAnswer.model_fields if name != "is_own"]
    return [
        ThresholdAnswer(**{name: getattr(one, name) for name in names}, is_own=one.kind in own)
        for one in adjusted(setup.as_adjustment(row) for row in rows).values()
    ]
