"""The real worker of a real hub: its run killed with SIGKILL, and the worker killed while its run lives on."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments.launcher.environment import read_environment
from deployments.launcher.process import is_alive
from deployments.simulators.instrument import SimulatedInstrument
from models.kernel import db
from models.kernel.settings import settings
from tests.instruments.helpers import make_lab
from tests.instruments.world import SETTINGS, World, expire_leases
from tests.launcher.conftest import remove_postgres_home
from tests.launcher.running import RunningHub, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.xdist_group("hub")]
COUNT = 40
SLOW_MILLISECONDS = 1500


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    root = tmp_path_factory.mktemp("hub")
    (root / "home").mkdir()
    running = RunningHub(root / "state", root / "home")
    try:
        running.start()
        yield running
    finally:
        if running.launcher is not None and running.launcher.poll() is None:
            running.stop()
        remove_postgres_home(running.state_dir)


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


@pytest.fixture
def world(in_the_hub: None, request: pytest.FixtureRequest) -> Iterator[World]:
    """A laboratory of its own for each test, with an analyser that takes its time."""
    slug = f"kill-{request.node.name.replace('_', '-')}"[:60]
    with SimulatedInstrument(**SETTINGS) as instrument:
        made = World(make_lab(slug), {})
        made.connect(instrument, timeout_seconds="30")
        made.slug = slug
        yield made


def start(hub: RunningHub, flow: str, tenant: str) -> str:
    with hub.prefect() as client:
        found = client.get(f"/deployments/name/{flow}/{flow}").raise_for_status().json()
        body: dict[str, Any] = {"parameters": {"tenant": tenant}}
        made = client.post(f"/deployments/{found['id']}/create_flow_run", json=body).raise_for_status().json()
        return str(made["id"])


def process_of(run_id: str) -> int | None:
    """The process in which the run is executed."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"FLOW_RUN_ID={run_id}".encode() in (entry / "environ").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    return None


def under_way(hub: RunningHub, world: World, flow: str, outcome: str) -> tuple[str, int]:
    """Start a run and return when several of its requests have arrived and none is answered: its id and process."""
    world.one.journal.clear()
    world.one.faults.set("latency_ms", SLOW_MILLISECONDS)
    run_id = start(hub, flow, world.slug)
    wait_for(lambda: world.one.journal.count(outcome) >= 4, 60, "requests on their way")
    pid = process_of(run_id)
    assert pid is not None
    return run_id, pid


def run_to_its_end(hub: RunningHub, world: World, flow: str) -> None:
    world.one.faults.clear()
    expire_leases()
    run_id = start(hub, flow, world.slug)
    wait_for(lambda: hub.run_state(run_id)[0] in ("COMPLETED", "FAILED"), 90, "the second run's end")


def all_queued_once(world: World, ids: list[int]) -> None:
    assert set(world.states(ids)) == {"Q"}
    entries = [entry.request.request_id for entry in world.one.entries]
    assert sorted(entries) == sorted(f"REQ-{one}" for one in ids)


def all_completed_once(world: World, ids: list[int]) -> None:
    assert set(world.states(ids)) == {"A"}
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


def test_the_worker_killed_while_its_run_lives_on(hub: RunningHub, world: World) -> None:
    ids = world.order(COUNT)
    _, pid = under_way(hub, world, "submit-assignments", "queued")
    worker = hub.part("worker")["pid"]
    os.kill(worker, signal.SIGKILL)
    assert is_alive(pid)
    run_to_its_end(hub, world, "submit-assignments")  # by the new worker, perhaps beside the first run
    wait_for(lambda: set(world.states(ids)) == {"Q"}, 60, "every assignment queued")
    all_queued_once(world, ids)

    _, pid = under_way(hub, world, "poll-results", "fetched")
    os.kill(hub.part("worker")["pid"], signal.SIGKILL)
    assert is_alive(pid)
    run_to_its_end(hub, world, "poll-results")
    wait_for(lambda: set(world.states(ids)) == {"A"}, 60, "every result there")
    all_completed_once(world, ids)
    time.sleep(0.5)
