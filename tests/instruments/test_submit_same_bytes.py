"""Every attempt of one submission sends the same bytes under the same key, whatever is changed between two attempts."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from models.instruments.inputs import InstrumentChoice, RetestInput, UnknownInput
from models.instruments.stores import actions, runs
from models.kernel.tenancy import tenant_session
from models.people.schemas import MergeIn
from models.people.stores.merges import merge_patients
from models.people.tables import Patient
from tasks.clients.transport import OutsideSystem
from tests.instruments.world import World, end_back_off, expire_leases, poll, run_sql, submit

pytestmark = pytest.mark.contract
ROOT = Path(__file__).parents[2]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """Key and body of every request that this process sends."""
    seen: list[tuple[str, bytes]] = []
    post = OutsideSystem.post

    async def noted(self: OutsideSystem, path: str, body: bytes, *, headers: dict[str, str]) -> Any:
        seen.append((headers["Idempotency-Key"], body))
        return await post(self, path, body, headers=headers)

    monkeypatch.setattr(OutsideSystem, "post", noted)
    return seen


def change_everything(world: World) -> None:
    """The patient is merged into another record, the test is renamed, the assignment gets a department."""
    lab = world.lab
    with tenant_session(lab.tenant_id) as session:
        kept = Patient(tenant_id=lab.tenant_id, code="PAT-002", family_name="Ade", given_names="Bola", sex="female")
        session.add(kept)
        session.flush()
        versions = MergeIn(merged_id=lab.patient_id, version=1, merged_version=1)
        merge_patients(session, lab.tenant_id, lab.actor("supervisor"), kept.id, versions)
    run_sql(
        "UPDATE test_definition SET name = 'Hb', code = 'LAB-HB' WHERE code = 'LAB-HGB'",
        "INSERT INTO department (tenant_id, name) SELECT id, 'Haematology' FROM tenant",
        "UPDATE assignment a SET department_id = d.id, sample_id = 'SAMP-999' FROM department d",
    )


def do(world: World, act: Any, assignment_id: int, given: Any) -> None:
    with tenant_session(world.lab.tenant_id) as session:
        act(session, world.lab.tenant_id, world.lab.actor(), assignment_id, given)


@pytest.mark.parametrize("fault", ["timeout_after_accepting", "server_error"])
async def test_a_retry_sends_the_same_bytes_after_a_merge_and_an_edit(
    world: World, sent: list[tuple[str, bytes]], fault: str
) -> None:
    (one,) = world.order()
    world.one.faults.set(fault, times=1)
    await submit()
    change_everything(world)
    end_back_off()
    await submit(is_retry=True)
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert b'"PAT-001"' in sent[0][1]
    assert len(world.one.entries) == 1
    assert world.lab.assignment(one).status == "Q"


async def test_the_result_may_name_patient_and_test_as_they_were_sent(world: World) -> None:
    (one,) = world.order()
    await submit()
    run_sql("UPDATE assignment SET ordered_at = ordered_at - interval '1 minute'")  # the simulator drops fractions
    sample = world.lab.assignment(one).sample_id
    change_everything(world)
    run_sql(f"UPDATE assignment SET sample_id = '{sample}'")
    report = await poll()
    assert world.lab.assignment(one).status == "A", [held.violations for held in world.lab.held(one)]
    assert report.tally.message == "completed 1"


async def test_what_a_person_resends_is_the_same_bytes(forgetful: World, sent: list[tuple[str, bytes]]) -> None:
    (one,) = forgetful.order()
    forgetful.one.faults.set("timeout_before_accepting", times=1)
    await submit()
    change_everything(forgetful)
    do(forgetful, runs.resolve_unknown, one, UnknownInput(outcome="resend", reason="it is not there"))
    await submit()
    assert sent[0] == sent[1]
    assert forgetful.lab.assignment(one).status == "Q"


async def test_a_run_that_follows_a_killed_one_sends_the_same_bytes(
    world: World, sent: list[tuple[str, bytes]]
) -> None:
    (one,) = world.order()
    world.one.faults.set("latency_ms", 1000)
    line = [sys.executable, "-m", "tests.instruments.killed_run", "submit", "while the request is under way", "1"]
    process = await asyncio.create_subprocess_exec(*line, cwd=ROOT)
    assert await process.wait() == -signal.SIGKILL
    world.one.faults.clear()
    (delivery,) = world.lab.deliveries(one)
    change_everything(world)
    expire_leases()
    await submit()
    assert [body for _, body in sent] == [delivery.sent_body]
    assert b'"PAT-001"' in sent[0][1]
    assert world.lab.assignment(one).queue_id == str(world.one.entries[0].id)
    assert len(world.one.entries) == 1


async def test_before_anything_went_out_the_order_is_sent_as_it_is_by_then(
    world: World, sent: list[tuple[str, bytes]]
) -> None:
    world.order()
    change_everything(world)
    run_sql("UPDATE test_definition SET code = 'LAB-HGB' WHERE code = 'LAB-HB'")
    await submit()
    assert b'"PAT-002"' in sent[0][1]


async def test_a_refused_order_put_right_is_a_new_request_and_unchanged_the_same(
    world: World, sent: list[tuple[str, bytes]]
) -> None:
    run_sql("UPDATE test_definition SET code = 'LAB-TYPO' WHERE code = 'LAB-HGB'")
    (one,) = world.order(test_code="LAB-TYPO")
    await submit()
    do(world, runs.run_again, one, RetestInput(reason="the instrument was set up"))
    await submit()
    assert sent[0] == sent[1]
    run_sql("UPDATE test_definition SET code = 'LAB-HGB' WHERE code = 'LAB-TYPO'")
    do(world, runs.run_again, one, RetestInput(reason="the code was wrong"))
    await submit()
    row = world.lab.assignment(one)
    assert (row.status, row.request_id) == ("Q", f"REQ-{one}-2")
    assert len({key for key, _ in sent}) == 2


async def test_what_may_have_arrived_is_repeated_as_it_was_even_if_the_order_changed(
    world: World, sent: list[tuple[str, bytes]]
) -> None:
    (one,) = world.order()
    world.one.faults.set("timeout_after_accepting", times=1)
    run_sql("UPDATE delivery SET attempts = 4")
    await submit()
    assert world.lab.assignment(one).status == "F"
    change_everything(world)
    do(world, runs.run_again, one, RetestInput(reason="the network is back"))
    await submit()
    assert sent[0] == sent[1]
    assert (world.lab.assignment(one).status, len(world.one.entries)) == ("Q", 1)


async def test_on_another_instrument_it_is_another_request_once_it_went_out(world: World) -> None:
    (one,) = world.order()
    world.one.faults.set("server_error", times=1)
    first = world.equipment_id
    await submit()
    second = world.connect(world.one)
    do(world, actions.choose_instrument, one, InstrumentChoice(equipment_id=second))
    row = world.lab.assignment(one)
    assert (row.status, row.request_id, row.equipment_id) == ("P", f"REQ-{one}-2", second)
    assert world.delivery_states(one) == ["skipped", "due"]
    do(world, actions.choose_instrument, one, InstrumentChoice(equipment_id=first))
    assert world.lab.assignment(one).request_id == f"REQ-{one}-2"


async def test_what_waits_to_be_repeated_is_unknown_once_keys_are_not_honoured_any_more(
    world: World, sent: list[tuple[str, bytes]]
) -> None:
    lost, refused = world.order(2)
    world.one.faults.set("timeout_after_accepting", times=1, request_id=f"REQ-{lost}")
    world.one.faults.set("server_error", times=1, request_id=f"REQ-{refused}")
    await submit()
    run_sql("UPDATE equipment SET is_idempotent = false")
    end_back_off()
    await submit(is_retry=True)
    assert world.states([lost, refused]) == ["U", "Q"]
    assert len(sent) == 3
    do(world, runs.resolve_unknown, lost, UnknownInput(outcome="resend", reason="it is not there"))
    await submit()
    assert world.lab.assignment(lost).status == "Q"  # a person's word: it is not asked about again
