"""API processes on one port, as the launcher starts them, for the benchmarks that need some."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from deployments.launcher.parts import ROOT
from deployments.launcher.process import child_setup

PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they listen, and their process ids."""

    url: str
    pids: list[int]


@contextmanager
def api_servers(more: Mapping[str, str], processes: int = PROCESSES) -> Iterator[Servers]:
    """Each accepts connections when the block begins; `more` is added to their environment."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    descriptor = sock.fileno()
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.door_server", str(descriptor), f"api-{number}", "group"],
            pass_fds=(descriptor,),
            cwd=ROOT,
            env=os.environ | dict(more),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=child_setup(),  # noqa: PLW1509 # calls into libc prepared beforehand
        )
        for number in range(processes)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("the API did not start")
        yield Servers(f"http://127.0.0.1:{sock.getsockname()[1]}", [process.pid for process in running])
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
        sock.close()
