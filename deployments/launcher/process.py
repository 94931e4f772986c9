"""What the launcher asks of the kernel: children that die with it, and how to find every process it gave rise to."""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PR_SET_PDEATHSIG = 1
SESSION_VARIABLE = "LABWIRE_SESSION"

# Loaded here, in the parent: a child between fork and exec must not wait for the loader's lock.
_libc = ctypes.CDLL(None)


def die_with_parent(parent: int, ending: signal.Signals = signal.SIGKILL) -> None:
    """Called in a new child: have the kernel send `ending` when its parent dies, also if that has happened already."""
    _libc.prctl(PR_SET_PDEATHSIG, ending)
    if os.getppid() != parent:
        os._exit(1)


def child_setup(ending: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the child leads its own session, so a Ctrl-C reaches the launcher alone, and dies with it.

    It hears SIGINT again, by which Prefect's worker stops: a shell has what it starts in the background (`make up &`)
    ignore it.
    """
    parent = os.getpid()

    def prepare_child() -> None:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        die_with_parent(parent, ending)

    return prepare_child


def members(session: str) -> list[int]:
    """Process ids that carry this session in their environment: every descendant, also those whose parent is dead."""
    mark = f"{SESSION_VARIABLE}={session}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return found


def end_session(session: str, *, spare: Iterable[int] = (), grace_seconds: float = 5) -> int:
    """End every member of the session but `spare`: SIGTERM, SIGKILL once the grace is over. How many there were."""
    kept = set(spare)
    seen: set[int] = set()
    deadline = time.monotonic() + grace_seconds
    while True:
        alive = [pid for pid in members(session) if pid not in kept]
        if not alive:
            return len(seen)
        for pid in alive:
            if time.monotonic() >= deadline:
                _signal(pid, signal.SIGKILL)
            elif pid not in seen:
                _signal(pid, signal.SIGTERM)
        seen.update(alive)
        time.sleep(0.05)


def is_alive(pid: int | None) -> bool:
    """Whether such a process exists and is not merely waiting to be reaped."""
    if pid is None:
        return False
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
