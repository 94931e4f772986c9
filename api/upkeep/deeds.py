"""What page and API do alike: replay, skip, and ask for the run that sends."""

from collections.abc import Sequence

from api.deps import Caller, tenant_work
from api.runs import start_delivering, start_sending
from models.kernel.errors import RefusedError
from models.upkeep.deliveries import INSTRUMENT, DeliveryRow, replay_delivery, skip_delivery

ROLES = ("supervisor", "administrator")


def replay(caller: Caller, delivery_id: int) -> DeliveryRow:
    """Make a delivery due again and have it sent."""
    with tenant_work(caller) as session:
        row = replay_delivery(session, caller.tenant_id, delivery_id, actor=caller.actor)
    _have_sent(caller, [row])
    return row


def replay_several(caller: Caller, delivery_ids: Sequence[int]) -> tuple[int, list[str]]:
    """Replay each by itself: how many are due again, and why the others are not."""
    again: list[DeliveryRow] = []
    refusals = []
    for delivery_id in dict.fromkeys(delivery_ids):
        try:
            with tenant_work(caller) as session:
                again.append(replay_delivery(session, caller.tenant_id, delivery_id, actor=caller.actor))
        except RefusedError as refusal:
            refusals.append(str(refusal))
    _have_sent(caller, again)
    return len(again), refusals


def skip(caller: Caller, delivery_id: int, reason: str) -> DeliveryRow:
    """Give a delivery up, and have what waited behind it sent."""
    with tenant_work(caller) as session:
        row = skip_delivery(session, caller.tenant_id, delivery_id, reason=reason, actor=caller.actor)
    _have_sent(caller, [row])
    return row


def _have_sent(caller: Caller, rows: Sequence[DeliveryRow]) -> None:
    assignments = [int(row.entity.partition(":")[2]) for row in rows if row.destination.startswith(INSTRUMENT)]
    if assignments:
        start_sending(caller, assignments)
    if len(assignments) < len(rows):
        start_delivering(caller)
