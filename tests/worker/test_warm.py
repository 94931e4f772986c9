"""What the warm worker adds: forks of a fresh, single-threaded parent, and nothing lost when one of them is killed."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.launcher.process import is_alive
from deployments.worker.warm.parents import PRELOADS, ParentGoneError, Parents
from tests.worker.running import Pool, Server, wait_for

FLOWS = "tests.worker.samples.flows"
contract = pytest.mark.contract
slow = pytest.mark.slow


def _parents_of(pool: Pool) -> list[int]:
    """The worker's warm parents: children that lead a session of their own, as forks of them do not."""
    assert pool.process is not None
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, parent, _, session, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(parent) == pool.process.pid and session == entry.name and state != "Z":
            found.append(int(entry.name))
    return sorted(found)


def _descriptors(pid: int) -> list[str]:
    return [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]


async def _order() -> None:
    """Order a run that need not come to anything."""
    parents = Parents()
    try:
        await parents.start("flows", {"environment": {}, "working_dir": "/"}, lambda: os.open(os.devnull, os.O_WRONLY))
    finally:
        parents.close()


@contract
@pytest.mark.parametrize("preload", sorted(PRELOADS))
def test_a_parent_has_one_thread_and_nothing_open(preload: str) -> None:
    async def look() -> tuple[int, list[str]]:
        parents = Parents()
        try:
            parent = await parents.fresh(preload)
            pid = parent.process.pid
            return len(os.listdir(f"/proc/{pid}/task")), _descriptors(pid)
        finally:
            parents.close()

    threads, opened = asyncio.run(look())
    assert threads == 1
    assert sum("socket" in target for target in opened) == 1, "the line to the worker"
    assert not any("eventpoll" in target or "eventfd" in target for target in opened), "no event loop"


@contract
def test_a_parent_with_two_threads_forks_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "threaded_flows"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LABWIRE_WARM_PACKAGES", "threaded_flows")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ParentGoneError, match="2 threads"):
        asyncio.run(_order())


@contract
def test_where_no_process_can_be_made_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "greedy_flows"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import errno, os\n\n\ndef refuse():\n    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))\n\n\n"
        "os.fork = refuse\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LABWIRE_WARM_PACKAGES", "greedy_flows")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ParentGoneError, match="no process could be made: Cannot allocate memory"):
        asyncio.run(_order())


@contract
def test_a_fork_the_worker_does_not_learn_of_ends_at_its_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a run whose answer is lost would be at work twice."""
    output = tmp_path / "output"
    forks: list[int] = []

    def lost(pid: int) -> None:
        forks.append(pid)
        raise ParentGoneError("the answer is lost")

    monkeypatch.setattr("deployments.worker.warm.parents.RunProcess", lost)

    async def order() -> None:
        parents = Parents()
        try:
            await parents.start(
                "flows",
                {"environment": {"PREFECT__FLOW_RUN_ID": "none"}, "working_dir": "/"},
                lambda: os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            )
        finally:
            parents.close()

    with pytest.raises(ParentGoneError, match="lost"):
        asyncio.run(order())
    assert forks
    wait_for(lambda: not any(is_alive(pid) for pid in forks), 20, "the forks to end")
    assert output.read_text() == "", "nothing was begun"


@contract
@slow
def test_the_second_parent_waits_until_a_flow_needs_it(shared_pool: Pool) -> None:
    plain = shared_pool.told(f"{FLOWS}.tells")
    assert not plain["has_quality"]
    assert len(_parents_of(shared_pool)) == 1, "the second parent waits until a flow needs it"
    quality = shared_pool.told(f"{FLOWS}.tells", job_variables={"preload": "great_expectations"})
    assert quality["has_quality"]
    assert len(_parents_of(shared_pool)) == 2


@contract
@slow
def test_a_killed_parent_is_replaced_and_its_runs_go_on(shared_pool: Pool, tmp_path: Path) -> None:
    run_id = shared_pool.start(f"{FLOWS}.sleeps", {"seconds": 6, "note": str(tmp_path / "note")})
    wait_for((tmp_path / "note.pid").exists, 60, "the run")
    before = _parents_of(shared_pool)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    other = shared_pool.told(f"{FLOWS}.tells")
    assert other["pid"]
    assert shared_pool.finished(run_id) == ("COMPLETED", "slept")
    assert not set(before) & set(_parents_of(shared_pool))


@contract
@slow
def test_a_run_whose_parent_is_dead_is_still_reported_as_crashed(shared_pool: Pool, tmp_path: Path) -> None:
    run_id = shared_pool.start(f"{FLOWS}.sleeps", {"note": str(tmp_path / "note")})
    pid_file = tmp_path / "note.pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text(), 60, "the run")
    for pid in _parents_of(shared_pool):
        os.kill(pid, signal.SIGKILL)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    state, message = shared_pool.finished(run_id)
    assert state == "CRASHED"
    assert "-9" in message


@contract
@slow
def test_threads_and_processes_of_a_flow_do_no_harm(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool()
    left = pool.told(f"{FLOWS}.spawns")
    assert pool.told(f"{FLOWS}.tells")["pid"]
    wait_for(lambda: not os.path.exists(f"/proc/{left[2]}"), 20, "the dead one to be buried")
    assert all(is_alive(pid) for pid in left[:2]), "as under the stock worker, until the worker stops"
    pool.stop_worker()
    wait_for(lambda: not any(is_alive(pid) for pid in left), 10, "nothing to be left")


@contract
@slow
def test_a_run_outlives_a_killed_worker_as_under_the_stock_one(make_pool: Callable[..., Pool], tmp_path: Path) -> None:
    pool = make_pool()
    run_id = pool.start(f"{FLOWS}.sleeps", {"seconds": 8, "note": str(tmp_path / "note")})
    wait_for((tmp_path / "note.pid").exists, 60, "the run")
    parents = _parents_of(pool)
    pool.stop_worker(signal.SIGKILL)
    wait_for(lambda: not any(is_alive(pid) for pid in parents), 10, "the parents to end")
    assert pool.finished(run_id) == ("COMPLETED", "slept")
    pool.start_worker()
    assert pool.told(f"{FLOWS}.tells")["pid"]


@contract
@slow
def test_a_run_never_sees_stale_code(server: Server, make_pool: Callable[..., Pool], tmp_path: Path) -> None:
    package = tmp_path / "clinic_flows"
    package.mkdir()
    (package / "__init__.py").touch()

    def write(word: str) -> None:
        (package / "says.py").write_text(
            "from prefect import flow\nfrom prefect.states import Completed\n\n"
            f"@flow\nasync def says():\n    return Completed(message='\"{word}\"')\n"
        )

    write("first")
    path = f"{tmp_path}:{server.environment['PYTHONPATH']}"
    pool = make_pool(PYTHONPATH=path, LABWIRE_WARM_PACKAGES="clinic_flows")
    assert pool.told("clinic_flows.says.says") == "first"
    before = _parents_of(pool)
    write("second one")
    assert pool.told("clinic_flows.says.says") == "second one"
    assert _parents_of(pool) != before


@contract
@slow
def test_what_cannot_be_forked_starts_as_under_the_stock_worker(shared_pool: Pool) -> None:
    told = shared_pool.told(
        f"{FLOWS}.tells", {"names": ["PYTHONHASHSEED"]}, job_variables={"env": {"PYTHONHASHSEED": "7"}}
    )
    assert told["environment"] == {"PYTHONHASHSEED": "7"}


@contract
@slow
def test_threads_and_exit_handlers_of_a_run_have_their_turn(shared_pool: Pool, tmp_path: Path) -> None:
    """A fork ends without clearing its modules, but as multiprocessing's do."""
    note = tmp_path / "note"
    run_id = shared_pool.start(f"{FLOWS}.ends_slowly", {"note": str(note)})
    assert shared_pool.finished(run_id)[0] == "COMPLETED"
    wait_for(lambda: note.exists() and note.read_text() == "thread handler", 20, "thread, then handler")


@contract
@slow
def test_a_job_variable_that_is_a_setting_of_prefect_holds(shared_pool: Pool) -> None:
    """Settings are read anew where they differ from the parent's."""
    run_id = shared_pool.start(f"{FLOWS}.tells", job_variables={"env": {"PREFECT_LOGGING_TO_API_ENABLED": "false"}})
    assert shared_pool.finished(run_id)[0] == "COMPLETED"
    wanted = {"logs": {"flow_run_id": {"any_": [run_id]}}}
    time.sleep(3)  # lines come after a run's end
    said = [line["message"] for line in shared_pool.rest.post("/logs/filter", json=wanted).json()]
    assert "a line of the run" not in said


@contract
@slow
def test_parents_do_not_grow(shared_pool: Pool) -> None:
    assert shared_pool.told(f"{FLOWS}.tells")
    (parent, *_) = _parents_of(shared_pool)

    def pages() -> int:
        return int(Path(f"/proc/{parent}/statm").read_text().split()[1])

    first = pages()
    runs = [shared_pool.start(f"{FLOWS}.tells") for _ in range(20)]
    assert {shared_pool.finished(run_id, 120)[0] for run_id in runs} == {"COMPLETED"}
    assert (pages() - first) * os.sysconf("SC_PAGE_SIZE") < 4 << 20
    assert len(_descriptors(parent)) < 10


@pytest.mark.unit
def test_the_pools_template_is_the_workers_own() -> None:
    from deployments.worker.warm.worker import WarmWorker  # Prefect's worker takes a second to import

    kept = json.loads((Path("deployments") / "worker" / "warm" / "template.json").read_text())
    assert kept == WarmWorker.get_default_base_job_template()
