"""Work at many places: what is claimed for a place that was stopped meanwhile is given back, and more of the kind."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from models.kernel.audit import Actor
from tasks.instruments import checking
from tasks.instruments.lanes import Lanes, Place
from tests.instruments.world import World, poll, submit

PLACE = (1, 1)


@pytest.mark.unit
async def test_what_is_claimed_while_its_place_is_being_stopped_is_given_back() -> None:
    is_claiming, may_end = threading.Event(), threading.Event()
    given_back: list[int] = []

    def claim(most: Mapping[Place, int]) -> list[tuple[Place, int]]:
        if most[PLACE] == 2:
            return [(PLACE, 1), (PLACE, 2)]
        is_claiming.set()
        may_end.wait(10)
        return [(PLACE, number) for number in (3, 4, 5)]

    async def serve(work: int) -> bool:
        await asyncio.to_thread(is_claiming.wait, 10)
        return False

    async def give_back(place: Place, works: Sequence[int]) -> None:
        given_back.extend(works)
        may_end.set()

    await asyncio.wait_for(Lanes[int](width=2, claim=claim, serve=serve, give_back=give_back).run([PLACE]), 20)
    assert given_back == [3, 4, 5]


@pytest.mark.unit
def test_a_database_that_is_gone_is_not_a_message_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(*given: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(checking, "complete", complete)
    with pytest.raises(OperationalError):
        checking.complete_surely([], Actor("flow", "1", "poll-results"))


@pytest.mark.contract
async def test_an_instrument_that_takes_no_key_is_not_asked_for_all_its_results(world: World) -> None:
    world.order(40)
    await submit()
    world.one.options.api_keys = ("another",)
    world.one.journal.clear()
    report = await poll()
    assert world.one.journal.count() <= 8
    assert report.tally.problems["not asked"] >= 32
