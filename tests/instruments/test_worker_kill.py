"""The real worker of a real hub: its run killed with SIGKILL, and the worker killed while its run lives on."""

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from deployments.launcher.environment import read_environment
from deployments.launcher.process import is_alive
from deployments.simulators.instrument import SimulatedInstrument
from deployments.worker.warm import run_locks
from models.kernel import db
from models.kernel.settings import settings
from tests.instruments.helpers import make_lab
from tests.instruments.world import SETTINGS, World, expire_leases
from tests.launcher.running import PATIENCE_SECONDS, RunningHub, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.xdist_group("hub")]
COUNT = 40
SLOW_MILLISECONDS = 1500


@pytest.fixture(scope="module")
def in_the_hub(hub: RunningHub) -> Iterator[None]:
    """This process works on the hub's database."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in read_environment(hub.folder).items():
            patch.setenv(name, value)
        forget()
        yield
    forget()


def forget() -> None:
    settings.cache_clear()
    db.engine.cache_clear()
    db.owner_engine.cache_clear()


@pytest.fixture(scope="module")
def unplanned(hub: RunningHub) -> Iterator[None]:
    """No run but those the tests ask for: a planned one would take the work of the run that is to be killed."""
    with hub.prefect() as prefect:
        paths = [f"/deployments/name/{flow}/{flow}" for flow in ("submit-assignments", "poll-results")]
        ids = [prefect.get(path).raise_for_status().json()["id"] for path in paths]
        busy = {"type": {"any_": ["PENDING", "RUNNING"]}}
        under_way = {"deployments": {"id": {"any_": ids}}, "flow_runs": {"state": busy}}
        for one in ids:
            prefect.post(f"/deployments/{one}/pause_deployment").raise_for_status()
        wait_for(lambda: prefect.post("/flow_runs/count", json=under_way).json() == 0, PATIENCE_SECONDS, "quiet")
        yield
        for one in ids:
            prefect.post(f"/deployments/{one}/resume_deployment").raise_for_status()


@pytest.fixture
def world(in_the_hub: None, unplanned: None) -> Iterator[World]:
    """A laboratory of its own for each test, with an analyser that takes its time."""
    slug = f"kill-{secrets.token_hex(4)}"
    with SimulatedInstrument(**SETTINGS) as instrument:
        made = World(make_lab(slug), {})
        made.connect(instrument, timeout_seconds="30")
        made.slug = slug
        yield made


def process_of(hub: RunningHub, run_id: str) -> int | None:
    """The process in which the run is executed."""
    try:
        return int((hub.state_dir / run_locks.FOLDER / run_id).read_text() or 0) or None
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Run:
    """A run at work, and the state its assignments come to."""

    hub: RunningHub
    id: str
    world: World
    ids: list[int]
    wanted: str


MOMENTS: dict[str, Callable[[Run], bool]] = {
    "before it has a process": lambda run: True,
    "while it loads its code": lambda run: process_of(run.hub, run.id) is not None,
    "while its requests are on their way": lambda run: len(run.world.one.journal.entries()) >= 4,
    "while it writes answers down": lambda run: run.wanted in run.world.states(run.ids),
}


def under_way(hub: RunningHub, world: World, flow: str, outcome: str) -> tuple[str, int]:
    """Start a run and return when several of its requests have arrived and none is answered: its id and process."""
    world.one.journal.clear()
    world.one.faults.set("latency_ms", SLOW_MILLISECONDS)
    run_id = hub.start_run(flow, tenant=world.slug)
    wait_for(lambda: world.one.journal.count(outcome) >= 4, PATIENCE_SECONDS, "requests on their way")
    pid = process_of(hub, run_id)
    assert pid is not None
    return run_id, pid


def run_to_its_end(hub: RunningHub, world: World, flow: str) -> None:
    world.one.faults.clear()
    expire_leases()
    run_id = hub.start_run(flow, tenant=world.slug)
    wait_for(lambda: hub.run_state(run_id)[0] in ("COMPLETED", "FAILED"), PATIENCE_SECONDS, "the second run's end")


def all_queued_once(world: World, ids: list[int], seconds: float = 0) -> None:
    wait_for(lambda: set(world.states(ids)) == {"Q"}, seconds, "every assignment queued")
    entries = [entry.request.request_id for entry in world.one.entries]
    assert sorted(entries) == sorted(f"REQ-{one}" for one in ids)


def all_completed_once(world: World, ids: list[int], seconds: float = 0) -> None:
    wait_for(lambda: set(world.states(ids)) == {"A"}, seconds, "every result there")
    assert all(len(world.lab.results(one)) == 1 for one in ids)


def test_the_run_killed_while_submitting_and_while_polling(hub: RunningHub, world: World) -> None:
    ids = world.order(COUNT)
    _, pid = under_way(hub, world, "submit-assignments", "queued")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), 10, "the run's end")
    assert len(world.one.entries) < COUNT
    run_to_its_end(hub, world, "submit-assignments")
    all_queued_once(world, ids)

    _, pid = under_way(hub, world, "poll-results", "fetched")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), 10, "the run's end")
    run_to_its_end(hub, world, "poll-results")
    all_completed_once(world, ids)


def kill_the_worker_of(run: Run, moment: str) -> None:
    """At that moment; the run's own process is left alone, and lives on."""
    wait_for(lambda: MOMENTS[moment](run), PATIENCE_SECONDS, moment)
    os.kill(run.hub.part("worker")["pid"], signal.SIGKILL)
    process = process_of(run.hub, run.id)
    assert process is None if moment == "before it has a process" else is_alive(process)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_worker_killed_while_its_run_lives_on(hub: RunningHub, world: World, moment: str) -> None:
    ids = world.order(COUNT)
    for flow, wanted, judge in (
        ("submit-assignments", "Q", all_queued_once),
        ("poll-results", "A", all_completed_once),
    ):
        world.one.journal.clear()
        world.one.faults.set("latency_ms", SLOW_MILLISECONDS)
        kill_the_worker_of(Run(hub, hub.start_run(flow, tenant=world.slug), world, ids, wanted), moment)
        run_to_its_end(hub, world, flow)  # by the new worker, perhaps beside the first run
        judge(world, ids, seconds=PATIENCE_SECONDS)
