"""The whole hub, started by the real command: what it promises when it starts, is hurt, and is stopped."""

import os
import signal
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg2
import pytest

from deployments.launcher.environment import read_environment
from deployments.launcher.process import is_alive, members
from tests.launcher.running import RunningHub, wait_for

pytestmark = pytest.mark.contract


def test_status_names_every_address_port_process_and_log(hub: RunningHub) -> None:
    state = hub.status()
    assert state["ready"] is True
    assert state["running"] is True
    parts = {part["name"]: part for part in state["parts"]}
    of_the_hub = {"postgres", "migrations", "prefect", "api", "deployments", "worker"}
    assert set(parts) == of_the_hub | {"mailbox", "instruments", "demo-data"}
    assert all(part["ready"] and Path(part["log"]).is_file() for part in parts.values())
    assert all(is_alive(parts[name]["pid"]) for name in ("postgres", "prefect", "api", "worker"))
    assert parts["api"]["port"] == int(hub.settings["LABWIRE_API_PORT"])
    assert parts["prefect"]["port"] == int(hub.settings["LABWIRE_PREFECT_PORT"])
    assert httpx.get(f"{state['urls']['pages']}/healthz", trust_env=False).status_code == 200
    assert hub.run("status").returncode == 0


def test_prefect_asks_for_its_generated_password(hub: RunningHub) -> None:
    url = f"http://127.0.0.1:{hub.settings['LABWIRE_PREFECT_PORT']}/api/flows/count"
    assert httpx.post(url, json={}, trust_env=False).status_code == 401
    with hub.prefect() as client:
        assert client.post("/flows/count", json={}).status_code == 200


def test_secrets_are_private_generated_and_in_no_process_environment(hub: RunningHub) -> None:
    assert stat.S_IMODE(hub.folder.environment.stat().st_mode) == 0o600
    assert stat.S_IMODE(hub.state_dir.stat().st_mode) == 0o700
    values = read_environment(hub.folder)
    for name in ("LABWIRE_SECRET_KEY", "LABWIRE_AUDIT_KEY"):
        assert len(bytes.fromhex(values[name])) == 32
    contents = []
    for pid in members(hub.session):
        with suppress(FileNotFoundError, ProcessLookupError):  # a run that has ended meanwhile
            contents.append(Path(f"/proc/{pid}/environ").read_bytes())
    assert contents
    assert not any(
        values[name].encode() in one for name in ("LABWIRE_SECRET_KEY", "LABWIRE_AUDIT_KEY") for one in contents
    )


def test_nothing_is_written_to_a_home_folder(hub: RunningHub) -> None:
    hub.wait_for_state(hub.start_run(), "COMPLETED")
    assert list(hub.home.rglob("*")) == []


def test_a_run_goes_through_deployment_pool_and_worker(hub: RunningHub) -> None:
    run_id = hub.start_run(note="here")
    assert hub.wait_for_state(run_id, "COMPLETED") == "stands up: here"


def test_automations_for_lost_and_stuck_runs_exist_once(hub: RunningHub) -> None:
    assert hub.run("deploy", "--no-force").returncode == 0
    with hub.prefect() as client:
        names = [automation["name"] for automation in client.post("/automations/filter", json={}).json()]
    assert sorted(name for name in names if name.startswith("labwire:")) == [
        "labwire: lost runs",
        "labwire: stuck runs",
    ]


def test_prefects_own_deploy_command_works_on_the_file_as_it_is(hub: RunningHub) -> None:
    done = hub.run("prefect", "--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    with hub.prefect() as client:
        found = client.get("/deployments/name/check-stand-up/check-stand-up").json()
    assert found["work_pool_name"] == "labwire"
    assert found["parameter_openapi_schema"]["properties"]["seconds"]["description"].startswith("How long")


def test_logs_prints_a_parts_log_and_names_those_there_are(hub: RunningHub) -> None:
    assert "Worker 'labwire' started" in hub.run("logs", "worker").stdout
    refused = hub.run("logs", "nobody")
    assert refused.returncode == 1
    assert "worker" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_second_launcher_on_the_folder_is_refused(hub: RunningHub) -> None:
    second = hub.run("up")
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert hub.launcher is not None
    assert str(hub.launcher.pid) in second.stderr
    assert hub.status()["ready"]


@pytest.mark.parametrize("variable", ["LABWIRE_API_PORT", "LABWIRE_PREFECT_PORT"])
def test_a_taken_port_is_refused_by_the_name_of_its_variable(variable: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = RunningHub(tmp_path / "state", tmp_path, {variable: str(taken.getsockname()[1])}).run("up")
    assert refused.returncode == 1
    assert variable in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("part", ["postgres", "prefect", "api", "worker", "mailbox", "instruments"])
def test_a_killed_part_comes_back(hub: RunningHub, part: str) -> None:
    before = hub.part(part)
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: hub.part(part)["restarts"] > before["restarts"], 30, f"{part} noticed")
    wait_for(lambda: hub.status()["ready"], 60, f"{part} ready again")
    assert hub.part(part)["pid"] != before["pid"]


def test_callers_wait_while_the_api_restarts_instead_of_being_refused(hub: RunningHub) -> None:
    os.kill(hub.part("api")["pid"], signal.SIGKILL)
    url = f"http://127.0.0.1:{hub.settings['LABWIRE_API_PORT']}/healthz"
    assert httpx.get(url, timeout=30, trust_env=False).status_code == 200
    wait_for(lambda: hub.status()["ready"], 60, "ready again")


def test_a_run_outlives_its_killed_worker_and_is_not_taken_for_lost(hub: RunningHub) -> None:
    run_id = hub.start_run(seconds=6)
    hub.wait_for_state(run_id, "RUNNING")
    restarts = hub.part("worker")["restarts"]
    os.kill(hub.part("worker")["pid"], signal.SIGKILL)
    wait_for(lambda: hub.part("worker")["restarts"] > restarts, 30, "noticed")
    # The run logs once more before it ends: that its worker no longer reads along must not matter.
    assert hub.wait_for_state(run_id, "COMPLETED") == "stands up"
    assert "stood for 6.0 s" in hub.run("logs", "runs").stdout
    wait_for(lambda: hub.status()["ready"], 60, "worker ready again")


def test_nothing_outlives_a_killed_launcher_and_the_next_start_recovers(hub: RunningHub) -> None:
    _write_row(hub, 1)
    run_id = hub.start_run(seconds=300)
    hub.wait_for_state(run_id, "RUNNING")
    assert hub.launcher is not None
    hub.launcher.kill()
    hub.launcher.wait()
    wait_for(lambda: not hub.processes(), 10, "everything of the killed launcher is gone")
    hub.start()
    assert _rows(hub) == [1]
    assert hub.wait_for_state(run_id, "CRASHED", 10)
    # The killed run's place is free at once, although its deployment runs one at a time.
    hub.wait_for_state(hub.start_run(), "COMPLETED")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_and_the_next_start_keeps_the_data(hub: RunningHub, number: signal.Signals) -> None:
    _write_row(hub, int(number))
    passwords = read_environment(hub.folder)
    session = hub.session
    run_id = hub.start_run(seconds=300)
    hub.wait_for_state(run_id, "RUNNING")
    assert hub.stop(number) == 0
    assert members(session) == []
    assert hub.postgres_processes() == []
    assert hub.run("status").returncode == 1
    for name in ("LABWIRE_API_PORT", "LABWIRE_PREFECT_PORT"):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(hub.settings[name]))) != 0
    hub.start()
    assert int(number) in _rows(hub)
    assert read_environment(hub.folder) == passwords
    assert hub.run_state(run_id)[0] in ("CRASHED", "CANCELLED")


@pytest.mark.slow
def test_the_next_start_ends_what_launcher_and_guard_left_when_both_are_killed(hub: RunningHub) -> None:
    run_id = hub.start_run(seconds=300)
    hub.wait_for_state(run_id, "RUNNING")
    assert hub.launcher is not None
    guard = _child_running(hub.launcher.pid, "guard.py")
    # The launcher would start a new guard at once: it is held still while the guard dies.
    hub.launcher.send_signal(signal.SIGSTOP)
    os.kill(guard, signal.SIGKILL)
    hub.launcher.kill()
    hub.launcher.wait()
    time.sleep(1)
    left = members(hub.session)
    assert left, "the run's process was expected to be still there"
    hub.start()
    assert not any(is_alive(pid) for pid in left)


def test_a_killed_guard_is_replaced(hub: RunningHub) -> None:
    assert hub.launcher is not None
    pid = hub.launcher.pid
    guard = _child_running(pid, "guard.py")
    os.kill(guard, signal.SIGKILL)
    wait_for(lambda: _child_running(pid, "guard.py") not in (0, guard), 5, "a new guard")


def _child_running(parent: int, program: str) -> int:
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if program.encode() in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return 0


def _write_row(hub: RunningHub, number: int) -> None:
    with psycopg2.connect(read_environment(hub.folder)["LABWIRE_DATABASE_OWNER_URL"]) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE IF NOT EXISTS kept_by_test (number int)")
        cursor.execute("INSERT INTO kept_by_test VALUES (%s)", (number,))
    connection.close()


def _rows(hub: RunningHub) -> list[int]:
    with psycopg2.connect(read_environment(hub.folder)["LABWIRE_DATABASE_OWNER_URL"]) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT number FROM kept_by_test ORDER BY number")
        rows = [row[0] for row in cursor.fetchall()]
    connection.close()
    return rows
