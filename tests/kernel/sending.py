"""Deliveries as the tests of the outbox make, claim and answer them."""

from sqlalchemy import select, text, update

from models.kernel import outbox
from models.kernel.outbox import Answer, Event, Leased, Route
from models.kernel.tables import Delivery
from models.kernel.tenancy import tenant_session


def publish(
    tenant_id: int, *entities: str, destination: str = "mail", priority: int = 2, is_ordered: bool = True
) -> None:
    route = Route(destination, priority, is_ordered)
    with tenant_session(tenant_id) as session:
        outbox.publish_many(session, tenant_id, [Event("it.happened", entity, {}, [route]) for entity in entities])


def claim(tenant_id: int, destination: str = "mail", *, owner: str = "run-1", most: int = 500) -> list[Leased]:
    with tenant_session(tenant_id) as session:
        return outbox.claim(session, tenant_id, destination, owner=owner, most=most)


def intend(one: Leased, *, owner: str = "run-1") -> bool:
    with tenant_session(one.tenant_id) as session:
        return one.id in outbox.intend(session, one.tenant_id, [one.id], owner=owner)


def answer(one: Leased, state: str, *, owner: str = "run-1") -> bool:
    with tenant_session(one.tenant_id) as session:
        answers = [Answer(one.id, state, "said so")]
        return one.id in outbox.record_answers(session, one.tenant_id, answers, owner=owner)


def carry(tenant_id: int, state: str = "done") -> list[str]:
    """Claim, send and answer all that is due; the entities in order."""
    claimed = claim(tenant_id)
    for one in claimed:
        assert intend(one)
        assert answer(one, state)
    return [one.entity for one in claimed]


def let_leases_expire(tenant_id: int) -> None:
    with tenant_session(tenant_id) as session:
        session.execute(
            update(Delivery).values(leased_until=text("now() - interval '1 s'")).where(Delivery.state == "leased")
        )


def rows(tenant_id: int) -> list[Delivery]:
    with tenant_session(tenant_id) as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))
