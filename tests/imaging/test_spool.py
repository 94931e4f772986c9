"""Files on their way: one writer each, and nothing that storage has a name for is ever written to."""

import fcntl
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from models.kernel.errors import RetryableError
from tasks.clients.storage.filesystem import FilesystemStorage
from tasks.clients.storage.growing import BusyError
from tasks.clients.storage.spool import Spool
from tests.imaging.drops import in_processes
from tests.imaging.storages import Content, new_key, read

pytestmark = pytest.mark.contract
DATA = os.urandom(3_000_000)
NOBODY = 65534


@contextmanager
def as_nobody(*folders: Path) -> Iterator[None]:
    """An ordinary user, whose these folders are: root may write to anything."""
    if os.geteuid():
        yield
        return
    for folder in folders:
        os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(params=["us", "nobody"])
def spool(request: pytest.FixtureRequest, other_file_system: Path) -> Iterator[Spool]:
    """A spool beside a tenant's storage."""
    other_file_system.chmod(0o755)
    root = other_file_system / "lab"
    root.mkdir()
    with as_nobody(root) if request.param == "nobody" else nullcontext():
        yield Spool(root / ".uploads")


def storage_of(spool: Spool) -> FilesystemStorage:
    return FilesystemStorage(spool.of_upload(1).parent.parent)


def linked(spool: Spool, data: bytes = DATA) -> tuple[FilesystemStorage, str]:
    """An upload whose file was put into storage by a transaction that was then rolled back."""
    storage, key = storage_of(spool), new_key()
    with spool.opened(7) as growing:
        growing.write(data, 0)
        growing.sync()
        Content(data, growing.path).put(storage, key)
    assert spool.of_upload(7).samefile(storage.local_path(key) or "")
    return storage, key


@pytest.mark.parametrize("change", ["write", "append", "empty"])
def test_what_storage_has_a_name_for_is_never_written_to(spool: Spool, change: str) -> None:
    storage, key = linked(spool)
    with spool.opened(7) as growing:
        assert growing.size == len(DATA)
        if change == "empty":
            growing.empty()
        else:
            growing.write(b"other", 0 if change == "write" else len(DATA))
        wanted = {"write": b"other" + DATA[5:], "append": DATA + b"other", "empty": b""}[change]
        assert growing.path.read_bytes() == wanted
    assert read(storage, key) == DATA
    assert spool.of_upload(7).read_bytes() == wanted
    assert [path.name for path in spool.of_upload(7).parent.iterdir()] == ["7"]
    path = storage.local_path(key)
    assert path is not None
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_nlink) == (0o400, 1)


def test_what_is_put_while_it_is_open_is_not_written_to_either(spool: Spool) -> None:
    storage, key = storage_of(spool), new_key()
    with spool.opened(7) as growing:
        growing.write(DATA, 0)
        Content(DATA, growing.path).put(storage, key)
        for change in (growing.empty, lambda: growing.write(b"x", 0)):
            with pytest.raises(BusyError):
                change()
    assert read(storage, key) == DATA


def test_of_many_who_open_it_one_has_it_and_the_others_wait(spool: Spool) -> None:
    storage, key = linked(spool)
    start, most, inside = threading.Barrier(8), [0], threading.Lock()

    def attempt(number: int) -> int | None:
        start.wait()
        try:
            with spool.opened(7) as growing:
                assert inside.acquire(blocking=False)
                most[0] += 1
                growing.write(bytes([number]) * 10, len(DATA) + 10 * (most[0] - 1))
                assert growing.has_its_name()
                inside.release()
                return number
        except BusyError:
            return None

    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            won = [one for one in threads.map(attempt, range(1, 9)) if one is not None]
    assert read(storage, key) == DATA
    assert spool.size_of(7) == len(DATA) + 10 * most[0]
    assert most[0] >= 1, won


def test_a_writer_who_still_has_what_was_linked_keeps_everybody_out(spool: Spool) -> None:
    """The transaction may be committed yet: only then does its writer give the lock back."""
    storage, key = storage_of(spool), new_key()
    with spool.opened(7) as growing:
        growing.write(DATA, 0)
        Content(DATA, growing.path).put(storage, key)
        with pytest.raises(BusyError), spool.opened(7):
            pass
        growing.path.unlink()
    with spool.opened(7) as growing:
        assert growing.size == 0
    assert read(storage, key) == DATA


@pytest.mark.parametrize("spool", ["nobody"], indirect=True)
def test_two_who_copy_at_once_do_not_take_each_others_copy(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what they cannot write to both have the lock: the second sees that a copy is there by now."""
    storage, key = linked(spool)
    lock, tried = fcntl.flock, list[bool]()

    def flock(descriptor: int, kind: int) -> None:
        lock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB if kind & fcntl.LOCK_SH else kind)
        if not tried:
            tried.append(True)  # between the lock on the file and that on its copy
            with spool.opened(7) as growing:
                growing.write(b"first", 0)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(BusyError), spool.opened(7):
        pass
    assert spool.of_upload(7).read_bytes() == b"first" + DATA[5:]
    assert read(storage, key) == DATA
    assert len(list(spool.of_upload(7).parent.iterdir())) == 1


def dying(name: str, when: str) -> Callable[[], None]:
    """To be called in a process: it kills itself before or after this call of the system."""

    def arm() -> None:
        original = getattr(os, name)

        def die(*args: object, **more: object) -> object:
            if when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **more)
            os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(os, name, die)

    return arm


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["ftruncate", "pread", "pwrite", "fsync", "rename"])
def test_killed_while_it_copies_the_file_is_whole_and_the_next_has_it(spool: Spool, step: str, when: str) -> None:
    storage, key = linked(spool)

    def work() -> None:
        dying(step, when)()
        with spool.opened(7):
            pass

    assert in_processes(work) == [-signal.SIGKILL]
    assert spool.of_upload(7).read_bytes() == DATA
    with spool.opened(7) as growing:
        growing.write(b"other", 0)
    assert read(storage, key) == DATA
    assert spool.of_upload(7).read_bytes() == b"other" + DATA[5:]
    assert [path.name for path in spool.of_upload(7).parent.iterdir()] == ["7"]


def test_a_disk_too_full_for_the_copy_leaves_all_as_it_was(small_file_system: Path) -> None:
    spool = Spool(small_file_system / "lab" / ".uploads")
    storage, key = linked(spool, DATA[:700_000])
    with pytest.raises(RetryableError), spool.opened(7):
        pass
    assert spool.of_upload(7).read_bytes() == read(storage, key) == DATA[:700_000]
    assert [path.name for path in spool.of_upload(7).parent.iterdir()] == ["7"]
