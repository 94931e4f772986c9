"""The hub on a database and a work pool of somebody else's choosing, with several API processes."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.launcher.environment import read_environment
from tests.conftest import Database
from tests.launcher.running import RunningHub, running_hub, wait_for

pytestmark = [pytest.mark.contract, pytest.mark.slow]


@pytest.fixture
def outside_hub(database: Database, tmp_path: Path) -> Iterator[RunningHub]:
    settings = {
        "LABWIRE_DATABASE_URL": database.app_url,
        "LABWIRE_DATABASE_OWNER_URL": database.owner_url,
        "LABWIRE_API_PROCESSES": "2",
        "LABWIRE_WORK_POOL": "another",
        "LABWIRE_WORKER_TYPE": "process",
    }
    with running_hub(tmp_path, settings) as hub:
        yield hub
        assert hub.stop() == 0


def test_an_outside_database_a_named_pool_and_two_api_processes(outside_hub: RunningHub) -> None:
    hub = outside_hub
    names = {part["name"] for part in hub.status()["parts"]}
    assert names == {"migrations", "prefect", "api-1", "api-2", "deployments", "worker"}, "and no demo"
    assert "LABWIRE_DATABASE_URL" not in read_environment(hub.folder)
    run_id = hub.start_run()
    hub.wait_for_state(run_id, "COMPLETED")
    with hub.prefect() as client:
        assert client.get(f"/flow_runs/{run_id}").json()["work_pool_name"] == "another"

    # One API process is killed: the other goes on answering, and it comes back.
    url = f"http://127.0.0.1:{hub.settings['LABWIRE_API_PORT']}/healthz"
    os.kill(hub.part("api-1")["pid"], signal.SIGKILL)
    assert all(httpx.get(url, trust_env=False).status_code == 200 for _ in range(50))
    wait_for(lambda: hub.part("api-1")["state"] == "ready", 20, "api-1 again")
