"""The memory figure of the images' benchmark sees every process that works for it, not the API's alone."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.growth import growth

pytestmark = pytest.mark.unit
GROWN_MB = 64
GROWS = (
    f"import sys; sys.stdin.readline(); held = b'x' * {GROWN_MB * 2**20}; print('grown', flush=True); sys.stdin.read()"
)
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {GROWS!r}])"


@contextmanager
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process whose child grows when told to by a line, and ends with its input."""
    line = [sys.executable, "-c", PARENT]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_a_child_of_the_api_and_a_backend_count_as_the_api_itself() -> None:
    with parent() as api, parent() as postgres, growth([api.pid], postgres.pid) as watched:
        for process in (api, postgres):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "grown\n"
        until = time.monotonic() + 30
        while min(watched.largest().get(kind, 0.0) for kind in ("parser", "backend")) < GROWN_MB:
            assert time.monotonic() < until, watched.largest()
            time.sleep(0.05)
    assert watched.largest()["API"] < GROWN_MB
