"""What a start meets on a machine that has been treated badly, and what it says then."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from deployments.launcher import logs, postgres, probes
from deployments.launcher.files import StateFolder, write_atomically
from deployments.launcher.parts import Part
from deployments.launcher.ports import free_port, listen
from deployments.launcher.process import SESSION_VARIABLE, is_alive
from deployments.launcher.status import read_status
from deployments.launcher.supervisor import Supervisor
from deployments.launcher.up import Choices, make_plan, process_settings, run, while_somebody_listens
from deployments.worker import register
from models.kernel.errors import ConfigError
from tests.launcher.running import wait_for

pytestmark = pytest.mark.contract

FULL = OSError(errno.ENOSPC, "No space left on device")
STAY = [sys.executable, "-c", "import time; time.sleep(600)"]
BUSY = "DO $$ BEGIN LOOP END LOOP; END $$"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.create()
    monkeypatch.setenv("LABWIRE_STATE_DIR", str(made.root))
    monkeypatch.setenv("LABWIRE_API_PORT", str(free_port()))
    monkeypatch.setenv("LABWIRE_PREFECT_PORT", str(free_port()))
    return made


@pytest.fixture
def cluster() -> Iterator[postgres.Cluster]:
    with tempfile.TemporaryDirectory(prefix="labwire-rough-") as home:
        made = postgres.Cluster(Path(home), free_port())
        postgres.prepare(made, durable=False)
        yield made


def _serve(cluster: postgres.Cluster) -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        postgres.command(cluster, durable=False),
        preexec_fn=postgres.become(postgres.server_user()),  # noqa: PLW1509 # calls into libc prepared beforehand
        cwd="/",
        stderr=subprocess.DEVNULL,
    )
    postgres.wait_until_ready(cluster.superuser_url)
    return server


def test_nothing_of_a_killed_server_still_writes_when_the_next_one_starts(cluster: postgres.Cluster) -> None:
    """A process at a long statement does not notice that its server is gone; two servers' writes destroy the data."""
    server = _serve(cluster)
    connection = psycopg2.connect(cluster.superuser_url)
    pid = connection.get_backend_pid()

    def keep_busy() -> None:
        with pytest.raises(psycopg2.OperationalError):
            connection.cursor().execute(BUSY)

    at_work = threading.Thread(target=keep_busy, daemon=True)
    at_work.start()
    time.sleep(0.3)
    server.kill()
    server.wait()
    time.sleep(1)
    assert is_alive(pid), "left over by the killed server"
    try:
        postgres.prepare(cluster, durable=False)
        assert not is_alive(pid)
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    at_work.join(10)
    again = _serve(cluster)
    again.send_signal(signal.SIGINT)
    assert again.wait(10) == 0


def _supervisor(tmp_path: Path, part: Part, changed: list[OSError]) -> Supervisor:
    def tell() -> None:
        if changed:
            raise changed[0]

    environment = os.environ | {SESSION_VARIABLE: f"rough-{os.getpid()}-{tmp_path.name}"}
    return Supervisor([part], environment=environment, log_folder=tmp_path, changed=tell)


async def _has_restarted(supervisor: Supervisor, times: int) -> None:
    state = supervisor.states["part"]
    for _ in range(100):
        if state.restarts >= times and state.state == "ready" and is_alive(state.pid):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not running again: {state}")


async def test_parts_are_kept_running_while_the_disk_is_too_full_for_the_status(tmp_path: Path) -> None:
    changed: list[OSError] = []
    supervisor = _supervisor(tmp_path, Part(name="part", command=STAY), changed)
    await supervisor.start()
    changed.append(FULL)
    os.kill(supervisor.states["part"].pid or 0, signal.SIGKILL)
    await _has_restarted(supervisor, 1)
    await supervisor.stop()
    assert supervisor.states["part"].pid is None


async def test_a_part_that_cannot_be_restarted_for_a_while_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.launcher.supervisor.PAUSES_SECONDS", (0.1,))
    refusals: list[Exception] = []

    def prepare() -> None:
        if refusals:
            raise refusals.pop()

    supervisor = _supervisor(tmp_path, Part(name="part", command=STAY, before=prepare), [])
    await supervisor.start()
    refusals += [FULL, ConfigError("the folder is in use")]
    os.kill(supervisor.states["part"].pid or 0, signal.SIGKILL)
    await _has_restarted(supervisor, 3)
    await supervisor.stop()
    log = (tmp_path / "part.log").read_text()
    assert "the folder is in use" in log
    assert "No space left on device" in log


async def test_a_probe_that_raises_ends_the_start_instead_of_hanging_it(tmp_path: Path) -> None:
    async def ask(since: datetime) -> bool:
        raise KeyError("last_heartbeat_time")

    supervisor = _supervisor(tmp_path, Part(name="part", command=STAY, is_ready=ask), [])
    with pytest.raises(KeyError):
        await asyncio.wait_for(supervisor.start(), 10)
    await supervisor.stop()


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", b"nonsense\r\n\r\n", b""])
def test_an_answer_cut_in_the_middle_is_no_answer(said: bytes) -> None:
    with listen("127.0.0.1", 0, "X") as door:

        def serve() -> None:
            caller, _ = door.accept()
            caller.recv(4096)
            caller.sendall(said)
            caller.close()

        threading.Thread(target=serve, daemon=True).start()
        assert not probes.is_answering(f"http://127.0.0.1:{door.getsockname()[1]}/readyz")


def test_a_worker_that_has_given_no_sign_of_life_yet_is_not_ready() -> None:
    body = b'[{"name": "labwire", "last_heartbeat_time": null}]'
    with listen("127.0.0.1", 0, "X") as door:

        def serve() -> None:
            caller, _ = door.accept()
            caller.recv(4096)
            caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            caller.close()

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        assert not probes.has_worker_reported(url, "", "labwire", datetime.now(UTC))


def test_a_log_is_cut_although_the_disk_has_no_room_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Path, target: Path) -> None:
        target.write_text("half")
        raise FULL

    monkeypatch.setattr("shutil.copyfile", fail)
    (tmp_path / "part.log").write_text("x" * 100)
    assert logs.rotate(tmp_path / "part.log", most_bytes=50)
    assert [(file.name, file.stat().st_size) for file in tmp_path.iterdir()] == [("part.log", 0)]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise FULL

    (tmp_path / "kept").write_text("old")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "kept", "new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("kept", "old")]


def test_a_full_disk_at_the_start_is_said_in_one_line(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere/ports.json")

    monkeypatch.setattr("deployments.launcher.up.make_plan", fail)
    with pytest.raises(ConfigError, match=r"No space left on device: somewhere/ports\.json"):
        run(print, Choices())
    folder.lock().close()  # and the folder is free again


def test_a_closed_pipe_does_not_keep_the_parts_from_being_stopped() -> None:
    def say(line: str) -> None:
        raise BrokenPipeError

    while_somebody_listens(say)("labwire: stopping")


def test_a_status_of_another_version_is_read(folder: StateFolder) -> None:
    part = {"name": "api", "pid": 1, "colour": "of a later version"}
    later = {"session": "s", "pid": 2, "started_at": "", "state": "ready", "mood": "good", "parts": [part]}
    folder.status.write_text(json.dumps(later))
    status = read_status(folder)
    assert status is not None
    assert (status.session, status.parts[0].name) == ("s", "api")


@pytest.mark.parametrize("left", ["", '"half', None])
def test_a_record_of_deployments_that_was_cut_short_counts_as_none(tmp_path: Path, left: str | None) -> None:
    record = tmp_path / "deployed.json"
    if left is not None:
        record.write_text(left)
    assert register._recorded(record) == ""


def test_throwing_away_spares_a_folder_that_holds_a_hub(folder: StateFolder) -> None:
    folder.environment.write_text("LABWIRE_SECRET_KEY='kept'\n")
    with pytest.raises(ConfigError, match="--throw-away would delete it"):
        run(print, Choices(is_throw_away=True))
    assert folder.environment.exists()


def test_one_port_for_both_doors_is_refused(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_PREFECT_PORT", os.environ["LABWIRE_API_PORT"])
    with pytest.raises(ConfigError, match="LABWIRE_API_PORT and LABWIRE_PREFECT_PORT"):
        make_plan(folder, process_settings(), Choices())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's database lies outside the state folder")
def test_root_does_not_begin_an_empty_database_beside_an_ordinary_users(folder: StateFolder) -> None:
    (folder.root / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(ConfigError, match="run labwire as its user"):
        postgres.default_home(folder.root)


def test_a_user_does_not_begin_an_empty_database_beside_roots(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.root / "postgres-home").write_text("/var/lib/labwire/postgres-x")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="run labwire as root"):
        postgres.default_home(folder.root)


def test_a_second_launcher_waits_for_nobody_and_names_the_first(folder: StateFolder) -> None:
    with folder.lock(), pytest.raises(ConfigError, match=f"launcher's process id {os.getpid()}"):
        run(print, Choices())


def test_folders_are_made_before_anything_is_asked_of_them(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "a" / "b" / "state")
    folder.create()
    folder.clear_temporary()
    wait_for(lambda: folder.temporary.is_dir() and folder.metrics.is_dir(), 1, "folders")
