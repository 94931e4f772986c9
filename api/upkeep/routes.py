"""The JSON API of the outbox and the audit trail."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.upkeep import audit_view, deeds, quality_routes
from api.upkeep.answers import (
    AuditAnswer,
    AuditPage,
    AuditQuery,
    DeliveryAnswer,
    DeliveryPage,
    DeliveryState,
    ReplayAnswer,
    ReplayInput,
    SkipInput,
)
from models.kernel.fields import Id, Line
from models.upkeep.audit_trail import AuditFilter
from models.upkeep.deliveries import DeliveryFilter, count_by_state, get_delivery, list_deliveries

router = APIRouter(prefix="/api/v1", responses=errors(401, 403), tags=["upkeep"])
router.include_router(quality_routes.router)
Overseer = Annotated[Caller, Depends(may(*deeds.ROLES))]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]
PageSize = Annotated[int, Query(ge=1, le=100)]
Text = Annotated[Line, Query()]


@router.get("/deliveries")
def list_outbox(
    caller: Overseer,
    state: Annotated[list[DeliveryState] | None, Query(description="Any of these; all when left out")] = None,
    destination: Text = "",
    entity: Text = "",
    page: PageNumber = 1,
    size: PageSize = 50,
) -> DeliveryPage:
    """Deliveries of the outbox, the newest first: `state=dead&state=unknown` are those that need a person."""
    wanted = DeliveryFilter(tuple(state or ()), destination, entity)
    with tenant_work(caller) as session:
        rows = list_deliveries(session, caller.tenant_id, wanted, limit=size, offset=(page - 1) * size)
        counts = count_by_state(session, caller.tenant_id, wanted)
    total = sum(number for name, number in counts.items() if not wanted.states or name in wanted.states)
    items = [DeliveryAnswer.model_validate(row) for row in rows]
    return DeliveryPage(items=items, total=total, page=page, size=size, counts=counts)


@router.post("/deliveries/replay")
def replay_deliveries(caller: Overseer, given: ReplayInput) -> ReplayAnswer:
    """Send several deliveries again, each for itself: what is refused for one does not stop the others."""
    replayed, refusals = deeds.replay_several(caller, given.ids)
    return ReplayAnswer(replayed=replayed, refusals=refusals)


@router.get("/deliveries/{delivery_id}", responses=errors(404))
def get_outbox_delivery(delivery_id: Id, caller: Overseer) -> DeliveryAnswer:
    """One delivery."""
    with tenant_work(caller) as session:
        return DeliveryAnswer.model_validate(get_delivery(session, caller.tenant_id, delivery_id))


@router.post("/deliveries/{delivery_id}/replay", responses=errors(404, 409))
def replay_delivery(delivery_id: Id, caller: Overseer) -> DeliveryAnswer:
    """Send one delivery again that is dead, unknown, skipped or done."""
    return DeliveryAnswer.model_validate(deeds.replay(caller, delivery_id))


@router.post("/deliveries/{delivery_id}/skip", responses=errors(404, 409))
def skip_delivery(delivery_id: Id, given: SkipInput, caller: Overseer) -> DeliveryAnswer:
    """Give up a dead or unknown delivery with a reason, so that later ones about the same thing may go."""
    return DeliveryAnswer.model_validate(deeds.skip(caller, delivery_id, given.reason))


@router.get("/audit-events")
def search_audit_events(caller: Overseer, query: Annotated[AuditQuery, Query()]) -> AuditPage:
    """The audit trail, the newest first; the search itself is noted in it."""
    wanted = AuditFilter(query.actor, query.action, query.resource_type, query.resource_id, query.since, query.until)
    rows, following = audit_view.search(caller, wanted, size=query.size, before_id=query.before_id)
    items = [AuditAnswer.model_validate(asdict(row) | {"changes": changes}) for row, changes in rows]
    return AuditPage(items=items, next_before_id=following)
