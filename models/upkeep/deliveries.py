"""Deliveries as people see them: found by state, replayed, skipped. The same ones for page, API, flow and command."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from models.instruments.stores.submissions import delivery_replayed, delivery_skipped
from models.kernel import outbox
from models.kernel.audit import Actor
from models.kernel.errors import NotFoundError
from models.kernel.tables import Delivery, OutboxEvent
from models.kernel.tenancy import KnownTenant, known_tenants, tenant_session

STATES = ("dead", "unknown", "due", "leased", "done", "skipped")
NEEDING_A_PERSON = ("dead", "unknown")
INSTRUMENT = "instrument:"


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; empty fields mean all. `destination` and `entity` are matched from their beginning."""

    states: Sequence[str] = ()
    destination: str = ""
    entity: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery without its payload, which may hold a patient's data."""

    id: int
    type: str
    destination: str
    entity: str
    state: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    last_answer: str | None

    @property
    def may_be_replayed(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state in outbox.REPLAYABLE

    @property
    def may_be_skipped(self) -> bool:
        """Whether a person may give it up."""
        return self.state in outbox.SKIPPABLE


def list_deliveries(
    session: Session, tenant_id: int, wanted: DeliveryFilter, *, limit: int = 50, offset: int = 0
) -> list[DeliveryRow]:
    """The newest first."""
    found = _rows().where(*_conditions(tenant_id, wanted)).order_by(Delivery.id.desc())
    return [DeliveryRow(*row) for row in session.execute(found.limit(limit).offset(offset))]


def get_delivery(session: Session, tenant_id: int, delivery_id: int) -> DeliveryRow:
    """One delivery, or NotFoundError."""
    row = session.execute(_rows().where(Delivery.tenant_id == tenant_id, Delivery.id == delivery_id)).first()
    if row is None:
        raise NotFoundError(f"no delivery {delivery_id}", resource="delivery", resource_id=delivery_id)
    return DeliveryRow(*row)


def count_by_state(session: Session, tenant_id: int, wanted: DeliveryFilter) -> dict[str, int]:
    """How many there are in each state, whatever states the filter asks for."""
    others = DeliveryFilter(destination=wanted.destination, entity=wanted.entity)
    statement = select(Delivery.state, func.count()).where(*_conditions(tenant_id, others)).group_by(Delivery.state)
    found = dict(session.execute(statement).tuples().all())
    return {state: found.get(state, 0) for state in STATES}


def list_destinations(session: Session, tenant_id: int) -> list[str]:
    """Every destination this tenant has sent something to."""
    wanted = select(Delivery.destination).where(Delivery.tenant_id == tenant_id).distinct()
    return sorted(session.scalars(wanted))


def replay_delivery(session: Session, tenant_id: int, delivery_id: int, *, actor: Actor) -> DeliveryRow:
    """Send one delivery again. ConflictError where it is under way, or where what it is about has moved on."""
    delivery = outbox.replay(session, tenant_id, delivery_id, actor=actor)
    if delivery.destination.startswith(INSTRUMENT):
        delivery_replayed(session, tenant_id, delivery, actor)
    session.flush()
    return get_delivery(session, tenant_id, delivery_id)


def skip_delivery(session: Session, tenant_id: int, delivery_id: int, *, reason: str, actor: Actor) -> DeliveryRow:
    """Give one up with a reason, so that later ones of its entity may go."""
    delivery = outbox.skip(session, tenant_id, delivery_id, reason=reason, actor=actor)
    if delivery.destination.startswith(INSTRUMENT):
        delivery_skipped(session, tenant_id, delivery, actor)
    session.flush()
    return get_delivery(session, tenant_id, delivery_id)


def tenant_of_delivery(delivery_id: int, slug: str = "") -> KnownTenant:
    """The tenant that has this delivery, looked for in all of them where no slug is given; NotFoundError for none."""
    for tenant in known_tenants(slug):
        with tenant_session(tenant.id) as session:
            if session.get(Delivery, (tenant.id, delivery_id)) is not None:
                return tenant
    raise NotFoundError(f"no delivery {delivery_id}", resource="delivery", resource_id=delivery_id)


def _rows() -> Select[Any]:
    return select(
        Delivery.id,
        OutboxEvent.type,
        Delivery.destination,
        Delivery.entity,
        Delivery.state,
        Delivery.attempts,
        Delivery.created_at,
        Delivery.next_attempt_at,
        Delivery.sent_at,
        Delivery.answered_at,
        Delivery.last_answer,
    ).join(OutboxEvent, (OutboxEvent.tenant_id == Delivery.tenant_id) & (OutboxEvent.id == Delivery.event_id))


def _conditions(tenant_id: int, wanted: DeliveryFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Delivery.tenant_id == tenant_id]
    if wanted.states:
        conditions.append(Delivery.state.in_(wanted.states))
    if wanted.destination:
        conditions.append(Delivery.destination.startswith(wanted.destination, autoescape=True))
    if wanted.entity:
        conditions.append(Delivery.entity.startswith(wanted.entity, autoescape=True))
    return conditions
