"""Who was given an address of the viewer: made, listed with their counts, revoked."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import tenant_work
from api.errors import errors
from api.imaging.access import Orderer, Reader, sees_unassigned
from api.imaging.image_links import new_viewer_url, seconds_of
from api.imaging.study_answers import GrantAnswer, NewGrantAnswer
from api.imaging.viewing import write_uses
from models.imaging.stores import grants, studies
from models.imaging.stores.studies import Seen
from models.kernel.errors import ConflictError
from models.kernel.fields import Id

router = APIRouter(tags=["imaging"])


class GrantIn(BaseModel):
    """How long the address is good for."""

    model_config = ConfigDict(extra="forbid")

    expires_in: Annotated[
        int | None, Field(ge=30, le=86_400, description="Seconds; at most LABWIRE_RADIOLOGY_URL_SECONDS is given")
    ] = None


@router.post("/studies/{study_id}/grants", status_code=201, responses=errors(401, 403, 404, 409))
def create_viewer_grant(study_id: Id, given: GrantIn, caller: Reader) -> NewGrantAnswer:
    """An address of the viewer for this study, shown now and never again. It is revoked by its number."""
    seconds = seconds_of(given.expires_in)
    with tenant_work(caller) as session:
        study = studies.get_study(session, caller.tenant_id, study_id, Seen(sees_unassigned(caller)))
        address, grant = new_viewer_url(session, caller, study, seconds)
        if grant is None:
            raise ConflictError("signed addresses are switched off (LABWIRE_RADIOLOGY_SIGNED_URLS)")
        return NewGrantAnswer(
            viewer_url=address,
            study_uid=study.study_uid,
            expires_in=seconds,
            grant_id=grant.id,
            expires_at=grant.expires_at,
        )


@router.get("/studies/{study_id}/grants", responses=errors(401, 403, 404))
def list_viewer_grants(study_id: Id, caller: Reader) -> list[GrantAnswer]:
    """The addresses given for this study, the latest first: one's own; a radiology technician sees everybody's."""
    own = None if sees_unassigned(caller) else caller.user_id
    with tenant_work(caller) as session:
        studies.get_study(session, caller.tenant_id, study_id, Seen(sees_unassigned(caller)))
        found = grants.list_grants(session, caller.tenant_id, study_id, user_id=own)
    write_uses(caller.tenant_id, [grant.id for grant, _ in found])
    with tenant_work(caller) as session:
        found = grants.list_grants(session, caller.tenant_id, study_id, user_id=own)
        return [GrantAnswer.of(grant, user) for grant, user in found]


@router.post("/grants/{grant_id}/revoke", responses=errors(401, 403, 404))
def revoke_viewer_grant(grant_id: Id, caller: Orderer) -> GrantAnswer:
    """The address opens nothing from now on. One's own; a radiology technician revokes anybody's."""
    with tenant_work(caller) as session:
        grant, user = grants.revoke_grant(
            session,
            caller.tenant_id,
            caller.actor,
            grant_id,
            user_id=caller.user_id,
            is_anyones=sees_unassigned(caller),
        )
        return GrantAnswer.of(grant, user)
