"""Files and folders are synced by threads: all at once, with the disk's errors, in forks too."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tasks.clients.storage import syncing
from tasks.clients.storage.syncing import begin_sync, sync_all

pytestmark = pytest.mark.unit


@pytest.fixture
def descriptors(tmp_path: Path) -> list[int]:
    return [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(3)]


def test_all_are_synced_at_once(descriptors: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    together, fsync = threading.Barrier(len(descriptors), timeout=10), os.fsync

    def meeting(descriptor: int) -> None:
        together.wait()  # nobody comes by alone
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", meeting)
    sync_all(descriptors)


def test_an_error_of_any_is_told(descriptors: list[int]) -> None:
    pipe, _ = os.pipe()  # nothing that can be synced
    for failing in ([pipe, *descriptors], [*descriptors, pipe]):
        with pytest.raises(OSError, match="Invalid argument"):
            sync_all(failing)
    with pytest.raises(OSError, match="Invalid argument"):
        begin_sync(pipe).result(10)


def test_a_descriptor_may_be_closed_meanwhile(descriptors: list[int]) -> None:
    begun = begin_sync(descriptors[0])
    os.close(descriptors[0])
    begun.result(10)


def test_where_no_thread_can_be_started_it_is_done_at_once_and_nothing_of_another_is_closed_later(
    descriptors: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    syncing._threads.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        begin_sync(descriptors[0]).result(0)
    anothers = [os.open(tmp_path / f"another-{number}", os.O_RDWR | os.O_CREAT) for number in range(3)]
    begin_sync(descriptors[1]).result(10)  # a thread that comes to what was queued before
    begin_sync(descriptors[2]).result(10)
    for one in (*descriptors, *anothers):
        os.fstat(one)


def test_a_fork_has_threads_of_its_own(descriptors: list[int]) -> None:
    begin_sync(descriptors[0]).result(10)
    child = os.fork()
    if child == 0:
        sync_all(descriptors)
        os._exit(0)
    for _ in range(100):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        threading.Event().wait(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the fork waits for threads that it does not have")
    assert status == 0


ENDING = """
import sys, threading
from tasks.clients.storage.syncing import begin_sync, sync_all

def late(path, main=threading.main_thread()):
    with open(path, "w") as file:
        begin_sync(file.fileno()).result(10)
        main.join()
        sync_all([file.fileno()] * 3)
        print("synced")

threading.Thread(target=late, args=(sys.argv[1],)).start()
"""


def test_a_thread_that_outlives_the_main_one_may_finish(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(tmp_path / "a")], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "synced\n", done.stderr
