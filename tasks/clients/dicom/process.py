"""One parser process as its parent sees it: started, asked, killed. It is given no secret and no open file of ours."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from models.kernel.errors import HeldError, RetryableError
from tasks.clients.dicom import wire

START_SECONDS = 60.0
MEGABYTE = 1024 * 1024
_ROOT = Path(__file__).parents[3]
_PASSED_ON = ("PATH", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "LD_LIBRARY_PATH")


class ParserProcess:
    """Owned by one caller at a time. `files` counts what it was asked."""

    def __init__(self, memory_mb: int, seconds: float) -> None:
        self._memory_mb, self._seconds = memory_mb, seconds
        self.files = 0
        ours, theirs = socket.socketpair()
        self._connection = ours
        line = [sys.executable, "-m", "tasks.clients.dicom.worker", str(memory_mb), str(seconds)]
        with theirs:
            self._process = subprocess.Popen(
                line,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a library's warning may quote the file
                cwd="/",
                env=_environment(),
                start_new_session=True,  # a Ctrl-C at a terminal is not for it: it ends when its socket does
            )
        self.pid = self._process.pid

    def wait_until_ready(self) -> None:
        """RetryableError where it does not start: that says nothing about a file."""
        try:
            wire.receive(self._connection, time.monotonic() + START_SECONDS)
        except (wire.EndedError, TimeoutError):
            self.kill()
            raise RetryableError("a parser process did not start") from None

    def ask(self, name: str, arguments: list[Any]) -> tuple[Any, bytes]:
        """Its answer. EndedError where it had ended before it was asked; HeldError where it is of no use any more."""
        self.files += 1
        deadline = time.monotonic() + self._seconds
        try:
            wire.wait_at_most(self._connection, self._seconds)
            wire.send(self._connection, [name, arguments])
        except TimeoutError:
            raise HeldError("parser_time", f"reading it took longer than {self._seconds:g} s") from None
        try:
            return wire.receive(self._connection, deadline, self._memory_mb * MEGABYTE)
        except TimeoutError:
            raise HeldError("parser_time", f"reading it took longer than {self._seconds:g} s") from None
        except (wire.EndedError, ValueError):
            raise HeldError("parser_died", "the process that read it has ended") from None

    def end(self) -> None:
        """SIGKILL, whoever owns it: its caller sees that it has died."""
        self._process.kill()

    def kill(self) -> None:
        """End it at once, wherever it is, and all we hold of it."""
        self.end()
        self.forget()
        self._process.wait()

    def forget(self) -> None:
        """Let go of our end: it ends by itself when nobody else holds it."""
        self._connection.close()


def _environment() -> dict[str, str]:
    """No LABWIRE_ or other variable that could hold a secret; libraries start no threads, whose stacks take memory."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    alone = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MALLOC_ARENA_MAX"), "1")
    return kept | alone | {"PYTHONPATH": str(_ROOT), "PYTHONNOUSERSITE": "1", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
