"""The parser processes: bounded, replaced, renewed, confined to what they need, and gone when they should be."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.imaging.ports import ImageParser, Instance
from models.kernel.errors import HeldError, RetryableError
from models.kernel.settings import settings
from tasks.clients.dicom import pool as pools
from tasks.clients.dicom import wire
from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d

pytestmark = pytest.mark.contract
PATIENCE_SECONDS = 30


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return d.saved(tmp_path / "a.dcm", d.dataset())


@pytest.fixture
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=512, seconds=30)
    yield made
    made.close()


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    ends = time.monotonic() + PATIENCE_SECONDS
    while is_there(pid) and time.monotonic() < ends:
        time.sleep(0.02)
    return not is_there(pid)


def test_it_fulfils_the_port(parsers: ParserPool, image: Path) -> None:
    parser: ImageParser = parsers
    assert isinstance(parser.read(image), Instance)


def test_nothing_is_started_before_it_is_needed(parsers: ParserPool, image: Path) -> None:
    assert parsers.pids == []
    parsers.read(image)
    first = parsers.pids
    parsers.read(image)
    assert parsers.pids == first
    assert len(first) == 1


def test_the_kernel_holds_a_process_to_its_limits(parsers: ParserPool, image: Path) -> None:
    parsers.read(image)
    lines = Path(f"/proc/{parsers.pids[0]}/limits").read_text().splitlines()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert limits["Max address space"] == [str(512 * 1024 * 1024)] * 2
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max file size"] == [str(2048 * 1024 * 1024)] * 2
    assert limits["Max open files"] == ["64", "64"]


def test_a_process_is_given_no_secret_and_no_open_file(
    parsers: ParserPool, image: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LABWIRE_DATABASE_URL", "postgresql://u:canary-secret@h/d")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        parsers.read(image)
    (pid,) = parsers.pids
    names = {line.split(b"=")[0] for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}
    assert not [name for name in names if name.startswith((b"LABWIRE", b"AWS", b"PREFECT"))]
    assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    opened = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    assert {name for name in opened if not name.startswith("socket:")} <= {"/dev/null"}


def test_a_call_over_its_time_is_ended_held_and_the_process_replaced(image: Path) -> None:
    parsers = ParserPool(1, memory_mb=512, seconds=1)
    parsers.read(image)
    (pid,) = parsers.pids
    os.kill(pid, signal.SIGSTOP)  # as good as a library that never comes back
    with pytest.raises(HeldError) as caught:
        parsers.read(image)
    assert caught.value.rule == "parser_time"
    assert not is_there(pid)
    parsers.read(image)
    assert pid not in parsers.pids
    parsers.close()


def test_a_process_that_dies_at_work_has_its_file_held_and_is_replaced(parsers: ParserPool, image: Path) -> None:
    parsers.read(image)
    (pid,) = parsers.pids
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(parsers.read, image)
        time.sleep(0.2)  # the request is with it by now
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(HeldError) as caught:
            call.result(PATIENCE_SECONDS)
    assert caught.value.rule == "parser_died"
    parsers.read(image)


def test_a_process_that_died_idle_is_no_fault_of_the_next_file(parsers: ParserPool, image: Path) -> None:
    parsers.read(image)
    (pid,) = parsers.pids
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    parsers.read(image)
    assert pid not in parsers.pids


def test_a_process_is_renewed_after_so_many_files(image: Path) -> None:
    parsers = ParserPool(1, memory_mb=512, seconds=30, renew_after=3)
    seen = []
    for _ in range(7):
        parsers.read(image)
        seen.append(tuple(parsers.pids))
    assert seen[2] == seen[5] == ()
    assert len({pids for pids in seen if pids}) == 3
    parsers.close()


def test_many_threads_share_the_processes(image: Path) -> None:
    parsers = ParserPool(2, memory_mb=512, seconds=30)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(parsers.read, [image] * 400))
    assert found == [found[0]] * 400
    assert len(parsers.pids) == 2
    parsers.close()


def test_who_waits_too_long_for_a_process_may_try_again(image: Path) -> None:
    parsers = ParserPool(1, memory_mb=512, seconds=30, wait_seconds=0.1)
    parsers.read(image)
    (pid,) = parsers.pids
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(parsers.read, image)
        time.sleep(0.2)
        with pytest.raises(RetryableError):
            parsers.read(image)
        os.kill(pid, signal.SIGCONT)
        busy.result(PATIENCE_SECONDS)
    parsers.close()


def test_closing_ends_the_processes_and_holds_no_file(image: Path) -> None:
    parsers = ParserPool(2, memory_mb=512, seconds=30)
    parsers.read(image)
    (pid,) = parsers.pids
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(parsers.read, image)
        time.sleep(0.2)
        parsers.close()
        with pytest.raises(RetryableError):
            call.result(PATIENCE_SECONDS)
    assert not is_there(pid)
    with pytest.raises(RetryableError):
        parsers.read(image)
    assert parsers.pids == []


PARENT = """
import sys, time
from pathlib import Path
from tasks.clients.dicom.pool import ParserPool
parsers = ParserPool(1, memory_mb=512, seconds=1)
parsers.read(Path(sys.argv[1]))
print(parsers.pids[0], flush=True)
sys.stdin.readline()
parsers.read(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("is_busy", [False, True])
def test_processes_end_with_their_parent(image: Path, is_busy: bool) -> None:
    line = [sys.executable, "-c", PARENT, str(image)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdin
        assert parent.stdout
        pid = int(parent.stdout.readline())
        if is_busy:
            os.kill(pid, signal.SIGSTOP)
            parent.stdin.write("go\n")
            parent.stdin.flush()
            time.sleep(0.2)
        parent.kill()
    if is_busy:
        os.kill(pid, signal.SIGCONT)
    assert gone(pid)


def test_a_fork_has_processes_of_its_own(parsers: ParserPool, image: Path) -> None:
    parsers.read(image)
    (ours,) = parsers.pids
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            parsers.read(image)
            os.write(write_end, str(parsers.pids[0]).encode())
            parsers.close()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    os.close(write_end)
    theirs = int(os.read(read_end, 100))
    os.close(read_end)
    assert status == 0
    assert theirs != ours
    assert is_there(ours)
    parsers.read(image)
    assert parsers.pids == [ours]


def test_a_process_outlives_the_thread_that_started_it(parsers: ParserPool, image: Path) -> None:
    thread = threading.Thread(target=parsers.read, args=(image,))
    thread.start()
    thread.join()
    first = parsers.pids
    parsers.read(image)
    assert parsers.pids == first


def test_the_pool_of_this_process_is_as_the_settings_say(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_IMAGE_PARSER_MEMORY_MB", "300")
    settings.cache_clear()
    pools.pool.cache_clear()
    try:
        assert pools.pool() is pools.pool()
        pools.pool().read(image)
        limits = Path(f"/proc/{pools.pool().pids[0]}/limits").read_text()
        assert str(300 * 1024 * 1024) in limits
    finally:
        pools.pool().close()
        pools.pool.cache_clear()
        monkeypatch.undo()
        settings.cache_clear()


def loaded(*lines: str) -> set[str]:
    """The top-level modules and our own that a fresh process has loaded after these lines."""
    code = "\n".join((*lines, "import sys; print(*sys.modules)"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_who_asks_imports_no_reader_of_images() -> None:
    names = loaded("import tasks.clients.dicom.pool")
    assert not names & {"pydicom", "PIL", "numpy", "gdcm", "tasks.clients.dicom.elements"}


def test_a_parser_imports_nothing_that_reaches_further(image: Path, tmp_path: Path) -> None:
    names = loaded(
        "from tasks.clients.dicom import describing, reading, rendering, worker, wrapping",
        f"reading.read({str(image)!r}); describing.describe({str(image)!r})",
    )
    assert not names & {"sqlalchemy", "psycopg2", "prefect", "pydantic", "httpx", "boto3", "structlog"}
    assert not {name for name in names if name.startswith("models.")} - {
        "models.imaging",
        "models.imaging.uids",
        "models.kernel",
        "models.kernel.errors",
    }
    assert not loaded("import tasks.clients.dicom.worker") & {"pydicom", "PIL", "numpy"}


def test_a_wait_is_said_anew_where_it_is_shorter_or_longer_but_for_a_hundredth() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for seconds, said in ((60, 60), (0.2, 0.2), (0.199, 0.2), (0.19, 0.19), (5, 5)):
            wire.wait_at_most(ours, seconds)
            assert ours.gettimeout() == said
        with pytest.raises(TimeoutError):
            wire.receive(ours, time.monotonic() + 0.1)
        assert (ours.gettimeout() or 60) <= 0.1
