"""Runs whose process is gone are not shown as running for ever, whoever's worker they had."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from deployments.launcher.environment import read_environment
from deployments.worker.automations import LOST_AFTER_SECONDS
from deployments.worker.catch_up import drop_missed_runs
from deployments.worker.rest import PrefectRest
from tests.launcher.running import RunningHub, wait_for

pytestmark = pytest.mark.contract


@pytest.mark.slow
def test_a_run_without_signs_of_life_is_marked_as_crashed(hub: RunningHub) -> None:
    """As left by a worker on another machine that vanished together with its run."""
    with hub.prefect() as client:
        flow_id = client.post("/flows/", json={"name": "vanished"}).raise_for_status().json()["id"]
        running = {"type": "RUNNING", "name": "Running"}
        run = client.post("/flow_runs/", json={"flow_id": flow_id, "state": running}).raise_for_status().json()
        heartbeat = {
            "id": str(uuid.uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run['id']}"},
        }
        client.post("/events", json=[heartbeat]).raise_for_status()
    message = hub.wait_for_state(run["id"], "CRASHED", LOST_AFTER_SECONDS + 60)
    assert "No sign of life" in message


def test_the_server_plans_the_runs_of_a_schedule(hub: RunningHub) -> None:
    """Prefect's scheduler is its own code on our versions of its libraries: SQLAlchemy 2.1 breaks it silently."""
    with hub.prefect() as client:
        flow_id = client.post("/flows/", json={"name": "planned"}).raise_for_status().json()["id"]
        schedule = {"schedule": {"interval": 3600, "anchor_date": datetime.now(UTC).isoformat()}, "active": True}
        body = {"name": "hourly", "flow_id": flow_id, "schedules": [schedule], "paused": False}
        deployment_id = client.post("/deployments/", json=body).raise_for_status().json()["id"]
        planned = {"flow_runs": {"deployment_id": {"any_": [deployment_id]}}}
        wait_for(lambda: client.post("/flow_runs/count", json=planned).json() > 0, 20, "runs planned")
        client.delete(f"/deployments/{deployment_id}").raise_for_status()


def test_after_downtime_each_deployment_keeps_one_missed_run(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{hub.settings['LABWIRE_PREFECT_PORT']}/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", read_environment(hub.folder)["LABWIRE_PREFECT_AUTH_STRING"])
    now = datetime.now(UTC)
    with PrefectRest() as rest:
        flow_id = rest.post("/flows/", {"name": "missed"})["id"]
        schedule = {"schedule": {"interval": 60, "anchor_date": now.isoformat()}, "active": True}
        ids = []
        for name in ("one", "other"):
            body = {"name": name, "flow_id": flow_id, "schedules": [schedule], "paused": False}
            ids.append(rest.post("/deployments/", body)["id"])
            hour_ago = {"start_time": (now - timedelta(hours=1)).isoformat(), "end_time": now.isoformat()}
            rest.post(f"/deployments/{ids[-1]}/schedule", hour_ago | {"min_runs": 60, "max_runs": 100})
        asked = rest.post(f"/deployments/{ids[0]}/create_flow_run", {"parameters": {}})["id"]
        missed = {"expected_start_time": {"before_": now.isoformat()}, "deployment_id": {"any_": ids}}
        assert rest.post("/flow_runs/count", {"flow_runs": missed}) > 100
        drop_missed_runs(rest)
        left = rest.post("/flow_runs/filter", {"flow_runs": missed | {"state": {"type": {"any_": ["SCHEDULED"]}}}})
        assert sorted(run["deployment_id"] for run in left if run["auto_scheduled"]) == sorted(ids)
        newest = max(run["expected_start_time"] for run in left if run["auto_scheduled"])
        assert now - datetime.fromisoformat(newest) < timedelta(seconds=61)
        assert rest.get(f"/flow_runs/{asked}") is not None
        for deployment_id in ids:
            rest.delete(f"/deployments/{deployment_id}")
