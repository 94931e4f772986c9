"""What Prefect's process worker gives, and the warm one gives too: each test runs on both."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deployments.launcher.process import is_alive
from tests.worker.running import Pool, wait_for

pytestmark = [pytest.mark.contract, pytest.mark.slow]

FLOWS = "tests.worker.samples.flows"


def test_environment_and_folder_come_from_the_job_variables(either_pool: Pool, tmp_path: Path) -> None:
    variables = {"env": {"CLINIC": "north"}, "working_dir": str(tmp_path)}
    told = either_pool.told(f"{FLOWS}.tells", {"names": ["CLINIC", "LABWIRE_STATE_DIR"]}, job_variables=variables)
    assert told["environment"] == {"CLINIC": "north", "LABWIRE_STATE_DIR": str(either_pool.server.folder)}
    assert told["folder"] == str(tmp_path)


def test_a_runs_lines_reach_the_server(either_pool: Pool) -> None:
    run_id = either_pool.start(f"{FLOWS}.tells")
    assert either_pool.finished(run_id)[0] == "COMPLETED"

    def lines() -> list[str]:
        wanted = {"logs": {"flow_run_id": {"any_": [run_id]}}}
        return [line["message"] for line in either_pool.rest.post("/logs/filter", json=wanted).json()]

    wait_for(lambda: "a line of the run" in lines(), 20, "the line")


def test_an_exit_code_is_a_crash_that_names_it(either_pool: Pool, tmp_path: Path) -> None:
    run_id = either_pool.start(f"{FLOWS}.dies", {"note": str(tmp_path / "note"), "code": 7})
    state, message = either_pool.finished(run_id)
    assert state == "CRASHED"
    assert "7" in message
    wait_for((tmp_path / "note").exists, 30, "the hook")
    assert (tmp_path / "note").read_text() == f"Crashed {run_id}"


def test_a_process_ended_by_the_kernel_is_a_crash(either_pool: Pool, tmp_path: Path) -> None:
    state, message = either_pool.finished(either_pool.start(f"{FLOWS}.dies", {"note": str(tmp_path / "note")}))
    assert state == "CRASHED"
    assert "-9" in message


def test_a_run_is_cancelled_from_the_server(either_pool: Pool, tmp_path: Path) -> None:
    note = tmp_path / "note"
    run_id = either_pool.start(f"{FLOWS}.sleeps", {"note": str(note)})
    pid_file = tmp_path / "note.pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text(), 60, "the run's process")
    pid = int(pid_file.read_text())
    either_pool.told_to_end(run_id)
    assert either_pool.finished(run_id, 90)[0] == "CANCELLED"
    wait_for(lambda: not is_alive(pid), 10, "the process to end")
    wait_for(note.exists, 30, "the hook")
    assert note.read_text() == f"Cancelling {run_id}"


def test_cancelling_one_run_leaves_the_others(either_pool: Pool, tmp_path: Path) -> None:
    going_on = either_pool.start(f"{FLOWS}.sleeps", {"seconds": 12, "note": str(tmp_path / "one")})
    ended = either_pool.start(f"{FLOWS}.sleeps", {"note": str(tmp_path / "other")})
    wait_for(lambda: all((tmp_path / f"{name}.pid").exists() for name in ("one", "other")), 60, "both runs")
    either_pool.told_to_end(ended)
    assert either_pool.finished(ended, 90)[0] == "CANCELLED"
    assert either_pool.finished(going_on) == ("COMPLETED", "slept")


def test_a_flow_that_takes_too_long_fails_by_its_time_out(either_pool: Pool) -> None:
    run_id = either_pool.start(f"{FLOWS}.too_slow")
    assert either_pool.finished(run_id)[0] == "FAILED"
    assert either_pool.run(run_id)["state"]["name"] == "TimedOut"


def test_a_run_gives_signs_of_life(either_pool: Pool) -> None:
    run_id = either_pool.start(f"{FLOWS}.tells")
    assert either_pool.finished(run_id)[0] == "COMPLETED"

    def beats() -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        wanted = {
            "occurred": {"since": (now - timedelta(minutes=5)).isoformat(), "until": now.isoformat()},
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "any_resource": {"id": [f"prefect.flow-run.{run_id}"]},
        }
        return list(either_pool.rest.post("/events/filter", json={"filter": wanted}).json()["events"])

    (beat, *_) = wait_for(beats, 20, "the heartbeat")
    roles = {related["prefect.resource.role"] for related in beat["related"]}
    assert roles >= {"flow", "deployment", "work-pool", "work-queue"}


def test_one_run_at_a_time_where_where_the_deployment_says_so(either_pool: Pool, tmp_path: Path) -> None:
    single = {"concurrency_limit": 1, "concurrency_options": {"collision_strategy": "CANCEL_NEW"}}
    first = either_pool.start(f"{FLOWS}.sleeps", {"seconds": 15, "note": str(tmp_path / "first")}, **single)
    wait_for((tmp_path / "first.pid").exists, 60, "the first run")
    second = either_pool.start(f"{FLOWS}.sleeps", {"seconds": 0}, **single)
    assert either_pool.finished(second)[0] == "CANCELLED"
    assert either_pool.finished(first)[0] == "COMPLETED"


def test_a_stopped_worker_leaves_no_process(either_pool: Pool, tmp_path: Path) -> None:
    """The last of this module: it stops the worker."""
    pid_file = tmp_path / "note.pid"
    either_pool.start(f"{FLOWS}.sleeps", {"seconds": 300, "note": str(tmp_path / "note")})
    wait_for(lambda: pid_file.exists() and pid_file.read_text(), 60, "the run's process")
    pid = int(pid_file.read_text())
    assert is_alive(pid)
    either_pool.stop_worker()
    wait_for(lambda: not is_alive(pid), 10, "the process to end")
