"""Processes that are the worker's children by adoption: runs, and what runs have left behind."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""

WATCHED: set[int] = set()
"""Process ids of children that somebody waits for."""


def adopt_orphans() -> None:
    """From now on processes whose parent has ended become children of this one (prctl(2), a child subreaper)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class RunProcess:
    """`pid`, and `returncode` once it has ended: the exit code, or minus the signal's number."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = os.pidfd_open(pid)
        WATCHED.add(pid)

    async def wait(self) -> int:
        """The return code, when it has ended."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
        _, status = os.waitpid(self.pid, 0)  # noqa: ASYNC222 # it has ended
        WATCHED.discard(self.pid)
        self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


@dataclass(frozen=True)
class Child:
    """A process that is a child of this one."""

    pid: int
    is_zombie: bool
    session: int


def children() -> Iterator[Child]:
    """Every child of this process, adopted ones included (proc(5), stat)."""
    mine = os.getpid()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if int(fields[1]) == mine:
            yield Child(int(entry.name), fields[0] == "Z", int(fields[3]))


def bury_orphans() -> int:
    """Reap what runs left behind and nobody waits for; how many there were.

    Processes of our own session are started by this process, and waited for by whoever started them.
    """
    mine = os.getsid(0)
    dead = [child.pid for child in children() if child.is_zombie and child.session != mine and child.pid not in WATCHED]
    for pid in dead:
        os.waitpid(pid, os.WNOHANG)
    return len(dead)


def end_orphans() -> int:
    """SIGKILL whatever runs left behind: nothing outlives the worker. How many there were."""
    mine = os.getsid(0)
    alive = [child.pid for child in children() if not child.is_zombie and child.session != mine]
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
    return len(alive)
