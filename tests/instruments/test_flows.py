"""The flows themselves, with a Prefect server: states, tables, run names, and that running twice changes nothing."""

import json

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterType, FlowRunFilter
from prefect.client.schemas.sorting import ArtifactSort

from flows.instruments.check_instruments import check_instruments
from flows.instruments.poll_results import poll_results
from flows.instruments.retry_submissions import retry_submissions
from flows.instruments.stale_assignments import stale_assignments
from flows.instruments.submit_assignments import submit_assignments
from models.kernel.errors import NotFoundError
from tests.instruments.world import World, dump, end_back_off, run_sql

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
ROWS = ("assignment", "result", "held_result", "instrument_message", "audit_event", "outbox_event", "delivery")


async def artifacts() -> dict[str, list[dict[str, object]]]:
    """The tables on the pages of all runs, by key; later ones over earlier ones. Prefect gives 200, here the newest.

    Results that a run keeps are artifacts too, and no JSON.
    """
    tables = ArtifactFilter(type=ArtifactFilterType(any_=["table"]))
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=tables, sort=ArtifactSort.CREATED_DESC)
    return {one.key or "": json.loads(str(one.data)) for one in sorted(found, key=lambda one: str(one.created))}


async def test_submit_and_poll_twice_make_the_same_rows_and_the_same_calls(world: World) -> None:
    ids = world.order(10)
    first = await submit_assignments(return_state=True)
    assert (first.type, first.message) == ("COMPLETED", "queued 10")
    assert (await submit_assignments(return_state=True)).message == "nothing to do"
    second = await poll_results(return_state=True)
    assert (second.type, second.message) == ("COMPLETED", "completed 10")
    before, calls = dump(*ROWS), len(world.one.journal.entries())
    for flow in (submit_assignments, retry_submissions, poll_results):
        state = await flow(return_state=True)
        assert state.message == "nothing to do"
    assert dump(*ROWS) == before
    assert len(world.one.journal.entries()) == calls
    assert set(world.states(ids)) == {"A"}


async def test_the_table_on_the_run_names_ids_and_outcomes_alone(world: World) -> None:
    one, other = world.order(2)
    world.one.faults.set("wrong_patient", request_id=f"REQ-{other}")
    await submit_assignments(tenant="alpha")
    state = await poll_results(tenant="alpha", return_state=True)
    assert state.type == "COMPLETED"
    assert sorted((state.message or "").split(", ")) == ["completed 1", "held 1"]
    tables = await artifacts()
    tenant, instrument = world.lab.tenant_id, world.equipment_id
    assert tables["poll-results-outcomes"] == [
        {"tenant": tenant, "instrument": instrument, "assignment": other, "outcome": "held"},
        {"tenant": tenant, "instrument": instrument, "assignment": one, "outcome": "completed"},
    ]
    assert {row["what"]: row["number"] for row in tables["poll-results"]} == {"completed": 1, "held": 1}
    assert sorted(row["assignment"] for row in tables["submit-assignments-outcomes"]) == [one, other]  # type: ignore[type-var]


async def test_a_run_with_an_outage_is_not_green_and_its_retry_is(world: World) -> None:
    (one,) = world.order()
    world.one.faults.set("server_error", times=1)
    state = await submit_assignments(return_state=True)
    assert (state.type, state.message) == ("FAILED", "to be sent again 1")
    end_back_off()
    assert (await retry_submissions(return_state=True)).message == "queued 1"
    assert world.lab.assignment(one).status == "Q"


async def test_runs_are_named_for_what_whom_and_when(world: World) -> None:
    (one,) = world.order()
    await submit_assignments(tenant="alpha", assignment_id=one)
    async with get_client() as client:
        runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter())
    assert any(run.name.startswith(f"submit-assignments · alpha · assignment {one} · 20") for run in runs)


async def test_checks_and_stale_notices_run_as_flows(world: World) -> None:
    run_sql(f"UPDATE equipment SET status = 'inactive' WHERE id = {world.lab.equipment_id}")
    assert (await check_instruments(return_state=True)).message == "online 1"
    assert (await stale_assignments(return_state=True)).message == "nothing to do"
    world.one.faults.set("refuse_connections")
    state = await check_instruments(return_state=True)
    assert (state.type, state.message) == ("FAILED", "not online: unreachable 1")


async def test_a_tenant_that_is_not_there_is_an_error_and_not_silence(world: World) -> None:
    with pytest.raises(NotFoundError, match="no active tenant"):
        await submit_assignments(tenant="nobody")
