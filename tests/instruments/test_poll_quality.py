"""What poll-results leaves in the Data Docs of each tenant."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from deployments.simulators.instrument import SimulatedInstrument
from models.upkeep.tables import QualityCheck
from tasks.instruments import checking
from tests.conftest import Database
from tests.instruments.helpers import make_lab
from tests.instruments.world import SETTINGS, World, dump, poll, run_sql, submit
from tests.upkeep.quality import kept

pytestmark = pytest.mark.contract


@pytest.fixture
def both(database: Database) -> Iterator[tuple[World, World]]:
    """Two laboratories with an analyser each."""
    with SimulatedInstrument(**SETTINGS) as first, SimulatedInstrument(**SETTINGS) as second:
        alpha, beta = World(make_lab("alpha"), {}), World(make_lab("beta"), {}, "beta")
        alpha.connect(first)
        beta.connect(second)
        yield alpha, beta


def failed_ids(check: QualityCheck) -> dict[str, list[int]]:
    """The assignments that failed, by what staff read."""
    return {
        one["expectation_config"]["description"]: one["result"]["unexpected_index_list"][0]["assignment_id"]
        for one in check.result["results"]
        if not one["success"]
    }


async def test_every_tenant_finds_what_was_found_in_its_own_results(both: tuple[World, World]) -> None:
    alpha, beta = both
    mine, theirs = alpha.order(3), beta.order(2)
    alpha.one.faults.set("failed_qc", request_id=f"REQ-{mine[1]}")
    beta.one.faults.set("wrong_unit", request_id=f"REQ-{theirs[0]}")
    await submit()
    await poll()
    checks = {world.slug: kept(world.lab.tenant_id) for world in both}
    assert [sum(check.rows for check in checks[slug]) for slug in ("alpha", "beta")] == [3, 2]
    assert [sum(check.failed_rows for check in checks[slug]) for slug in ("alpha", "beta")] == [1, 1]
    [bad] = [check for check in checks["alpha"] if not check.is_met]
    assert failed_ids(bad) == {"Quality control passed": [mine[1]]}
    assert (bad.suite, bad.flow) == ("instrument-results", "poll-results")
    [bad] = [check for check in checks["beta"] if not check.is_met]
    assert failed_ids(bad) == {"The unit is the one of the test catalogue": [theirs[0]]}
    assert alpha.states(mine) == ["A", "H", "A"]
    everything = json.dumps([check.result for one in checks.values() for check in one])
    assert "PAT-001" not in everything
    assert "mmol" not in everything


async def test_a_second_run_and_one_without_results_leave_nothing(both: tuple[World, World]) -> None:
    alpha = both[0]
    alpha.order(4)
    await submit()
    await asyncio.gather(poll(), poll())
    before = dump("quality_check")
    assert sum(row.rows for row in before["quality_check"]) == 4
    await poll()
    assert dump("quality_check") == before


async def test_a_check_is_kept_with_the_results_it_was_about_or_not_at_all(
    both: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha = both[0]
    (one,) = alpha.order(1)
    await submit()

    def broken(*_: Any) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(checking, "record_validation", broken)
    report = await poll()
    assert report.tally.problems == {"not checked": 1}
    assert (alpha.states([one]), kept(alpha.lab.tenant_id)) == (["Q"], [])
    monkeypatch.undo()
    run_sql("UPDATE assignment SET poll_leased_until = now()")
    await poll()
    assert (alpha.states([one]), len(kept(alpha.lab.tenant_id))) == (["A"], 1)


async def test_an_unreadable_answer_is_none_of_the_suites_business(both: tuple[World, World]) -> None:
    alpha = both[0]
    alpha.one.faults.set("broken_json", operation="results")
    (one,) = alpha.order(1)
    await submit()
    await poll()
    assert (alpha.states([one]), kept(alpha.lab.tenant_id)) == (["H"], [])
